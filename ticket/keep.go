package ticket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/anteroom/anteroom/channel"
)

var _ channel.BodyKeeper = (*Desk)(nil)

// KeepBody begins to keep a body in Config.Blobs while it arrives; see
// [channel.BodyKeeper]. An item that is accepted with it refers to what was
// written: nothing is copied, also when several items come with one body. Without Config.Blobs it returns errors.ErrUnsupported.
func (d *Desk) KeepBody(ctx context.Context) (channel.KeptBody, error) {
	if d.cfg.Blobs == nil {
		return nil, fmt.Errorf("ticket: keep body without Blobs: %w", errors.ErrUnsupported)
	}
	r, w := io.Pipe()
	k := &keptBody{desk: d, ctx: ctx, ref: BodyRef{ID: d.newBlobID(), Blob: true}, pipe: w, done: make(chan struct{})}
	go k.put(r)
	return k, nil
}

// keptBody is a blob that is not in a commit yet. It is a channel.Body once it
// is finished.
type keptBody struct {
	desk *Desk
	ctx  context.Context
	ref  BodyRef
	pipe *io.PipeWriter
	// failed says that a write did, so that what was stored is not all.
	failed bool

	done   chan struct{} // closed when Put has returned
	stored int64         // by Put
	err    error         // of Put

	mu        sync.Mutex
	taken     int  // arrivals that refer to it
	maybe     bool // a commit that refers to it may have happened
	discarded bool
}

var (
	errPutStopped = errors.New("ticket: keep body: Blobs did not read to the end")
	errDiscarded  = errors.New("ticket: keep body: discarded")
)

func (k *keptBody) put(r *io.PipeReader) {
	defer close(k.done)
	defer func() {
		if p := recover(); p != nil {
			k.desk.log.Error("keeping a body panicked", "body", k.ref.ID, "panic", p)
			k.err = errors.New("ticket: keep body: Blobs panicked")
		}
		// Whoever writes must not wait for a Put that is over.
		_ = r.CloseWithError(errors.Join(k.err, errPutStopped))
	}()
	k.stored, k.err = k.desk.cfg.Blobs.Put(k.ctx, k.ref.ID, r)
	k.mu.Lock()
	discarded := k.discarded
	k.mu.Unlock()
	if k.err != nil && k.ctx.Err() == nil && !discarded {
		k.desk.noteBlobs(k.err)
	}
}

func (k *keptBody) Write(p []byte) (int, error) {
	if limit := k.desk.cfg.Limits.Body; k.ref.Size+int64(len(p)) > limit {
		return 0, fmt.Errorf("ticket: keep body: it is over Limits.Body: %w", channel.ErrRejected)
	}
	n, err := k.pipe.Write(p)
	k.ref.Size += int64(n)
	if err != nil {
		k.failed = true
		return n, fmt.Errorf("ticket: keep body: %w", err)
	}
	return n, nil
}

func (k *keptBody) Finish() (channel.Body, error) {
	_ = k.pipe.Close()
	<-k.done
	if k.err == nil && (k.failed || k.stored != k.ref.Size) {
		k.err = fmt.Errorf("%d bytes of %d", k.stored, k.ref.Size)
	}
	if k.err != nil {
		return nil, fmt.Errorf("ticket: keep body: %w", k.err)
	}
	return k, nil
}

func (k *keptBody) Discard() {
	k.mu.Lock()
	again, taken, maybe := k.discarded, k.taken > 0, k.maybe
	k.discarded = true // before Put fails for it
	k.mu.Unlock()
	_ = k.pipe.CloseWithError(errDiscarded)
	<-k.done
	switch ids := []BodyID{k.ref.ID}; {
	case again:
	case maybe:
		k.desk.collectAll(k.ctx, ids)
	case !taken:
		// Also after a Put that failed: it may have failed late.
		k.desk.deleteBlobs(k.ctx, ids)
	}
}

func (k *keptBody) Size() int64 { return k.ref.Size }

func (k *keptBody) Open() (io.ReadCloser, error) {
	return blobBody{ctx: k.ctx, blobs: k.desk.cfg.Blobs, ref: k.ref}.Open()
}

// take gives the blob to an arrival, if it is at the desk that kept it.
func (k *keptBody) take(d *Desk) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.desk != d || k.discarded {
		return false
	}
	k.taken++
	return true
}

// giveBack leaves to their Discard what of ids is kept bodies: whoever had them
// kept may still read them. maybe says that they may be in a commit. It returns
// the other ids.
func giveBack(arrivals []*arrival, ids []BodyID, maybe bool) []BodyID {
	for _, a := range arrivals {
		k, ok := a.item.Raw.(*keptBody)
		if !ok || k.ref.ID != a.raw.ref.ID {
			continue
		}
		if i := slices.Index(ids, k.ref.ID); i >= 0 {
			ids = slices.Delete(ids, i, i+1)
			k.mu.Lock()
			k.taken--
			k.maybe = k.maybe || maybe
			k.mu.Unlock()
		}
	}
	return ids
}
