package powerloss

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// Replay goes through what a Disk has recorded, moment by moment.
type Replay struct {
	log  []Op
	at   int
	file map[int]*content
	dirs map[string]*names
}

// content is a file's: what is sure, and what was written since.
type content struct {
	sure  []byte
	since []Op
}

// names are a folder's: those that are sure, and what was done since.
type names struct {
	sure  map[string]int // the file; 0 for a folder
	since []Op
}

// Replay returns a replay at its first moment.
func (d *Disk) Replay() *Replay {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Replay{log: slices.Clone(d.log), file: map[int]*content{}, dirs: map[string]*names{".": {sure: map[string]int{}}}}
}

// To goes on to the moment at which n ops had been done. It never goes back.
func (r *Replay) To(n int) {
	for ; r.at < min(n, len(r.log)); r.at++ {
		r.do(r.log[r.at])
	}
}

func (r *Replay) do(op Op) {
	switch op.Kind {
	case Write, Cut:
		f := r.of(op.file)
		f.since = append(f.since, op)
	case Sync:
		f := r.of(op.file)
		for _, w := range f.since {
			f.sure = w.on(f.sure)
		}
		f.since = nil
	case Lost:
		r.of(op.file).since = nil
	case Create, Mkdir, Remove:
		d := r.dir(op.Path)
		d.since = append(d.since, op)
		if op.Kind == Mkdir {
			r.dirs[op.Path] = &names{sure: map[string]int{}}
		}
	case Rename: // within a folder
		d := r.dir(op.Path)
		d.since = append(d.since, op)
	case SyncDir:
		d := r.dirs[op.Path]
		if d == nil {
			return
		}
		for _, n := range d.since {
			n.in(d.sure)
		}
		d.since = nil
	}
}

func (r *Replay) of(file int) *content {
	if r.file[file] == nil {
		r.file[file] = &content{}
	}
	return r.file[file]
}

func (r *Replay) dir(path string) *names {
	dir := filepath.Dir(path)
	if r.dirs[dir] == nil {
		r.dirs[dir] = &names{sure: map[string]int{}}
	}
	return r.dirs[dir]
}

// on returns data with a write or truncation done.
func (op Op) on(data []byte) []byte {
	end := op.at + int64(len(op.data))
	if n := end - int64(len(data)); n > 0 {
		data = append(data, make([]byte, n)...)
	}
	if op.Kind == Cut {
		return data[:op.at]
	}
	copy(data[op.at:], op.data)
	return data
}

// in does a change of names.
func (op Op) in(have map[string]int) {
	switch op.Kind {
	case Create:
		have[filepath.Base(op.Path)] = op.file
	case Mkdir:
		have[filepath.Base(op.Path)] = 0
	case Remove:
		delete(have, filepath.Base(op.Path))
	case Rename:
		delete(have, filepath.Base(op.Path))
		have[filepath.Base(op.To)] = op.file
	}
}

// Lose makes, in the empty folder root, what a loss of power could leave at this
// moment. What that is, is drawn from rnd.
func (r *Replay) Lose(rnd *rand.Rand, root string) error {
	var dirs []string
	files := map[string][]byte{}
	open := []string{"."}
	for len(open) > 0 {
		dir := open[0]
		open, dirs = open[1:], append(dirs, dir)
		d := r.dirs[dir]
		if d == nil {
			continue
		}
		have := maps.Clone(d.sure)
		for _, op := range survivors(rnd, d.since) {
			op.in(have)
		}
		for _, name := range slices.Sorted(maps.Keys(have)) {
			path := filepath.Join(dir, name)
			if file := have[name]; file == 0 {
				open = append(open, path)
			} else {
				files[path] = r.of(file).lose(rnd)
			}
		}
	}
	return write(root, dirs, files)
}

// survivors draws which of some ops have happened: none, all, the first few, or
// any.
func survivors(rnd *rand.Rand, ops []Op) []Op {
	if len(ops) == 0 {
		return nil
	}
	switch rnd.IntN(4) {
	case 0:
		return nil
	case 1:
		return ops
	case 2:
		return ops[:rnd.IntN(len(ops)+1)]
	}
	var some []Op
	for _, op := range ops {
		if rnd.IntN(2) == 0 {
			some = append(some, op)
		}
	}
	return some
}

// sector is the size of the pieces that are written or not.
const sector = 512

func (c *content) lose(rnd *rand.Rand) []byte {
	data := slices.Clone(c.sure)
	torn := rnd.IntN(2) == 0
	for _, op := range survivors(rnd, c.since) {
		if op.Kind == Cut || !torn {
			data = op.on(data)
			continue
		}
		for at := int64(0); at < int64(len(op.data)); {
			n := min(sector-(op.at+at)%sector, int64(len(op.data))-at)
			if rnd.IntN(3) > 0 {
				data = Op{Kind: Write, at: op.at + at, data: op.data[at : at+n]}.on(data)
			}
			at += n
		}
	}
	return data
}

// Moments draws at most n moments: two thirds of them around syncs, which are
// where something becomes sure.
func (d *Disk) Moments(rnd *rand.Rand, n int) []int {
	syncs := d.Syncs()
	rnd.Shuffle(len(syncs), func(i, j int) { syncs[i], syncs[j] = syncs[j], syncs[i] })
	all := syncs[:min(len(syncs), n*2/3)]
	for len(all) < n {
		all = append(all, d.Began()+rnd.IntN(d.Now()-d.Began()+1))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Lose loses power at each of the moments, which rise, makes what is left in new
// folders below temp, and checks it. It returns the first error of check.
func (d *Disk) Lose(rnd *rand.Rand, temp string, moments []int, check func(root string, moment int) error) error {
	replay := d.Replay()
	for _, moment := range moments {
		replay.To(moment)
		root, err := os.MkdirTemp(temp, "lost")
		if err == nil {
			err = replay.Lose(rnd, root)
		}
		if err == nil {
			err = check(root, moment)
		}
		if err != nil {
			return fmt.Errorf("power lost after %d of %d ops: %w", moment, d.Now(), err)
		}
		if err := os.RemoveAll(root); err != nil {
			return err
		}
	}
	return nil
}
