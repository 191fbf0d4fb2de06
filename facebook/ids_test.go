package facebook_test

import (
	"bytes"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
)

// otherIDs is a Facebook that names a comment by another form of its id than it
// was asked for.
type otherIDs struct {
	next http.RoundTripper
	page string
}

func (o otherIDs) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := o.next.RoundTrip(r)
	id := path.Base(r.URL.Path)
	if err != nil || !strings.Contains(id, "_") || strings.HasPrefix(id, o.page) {
		return resp, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	b = bytes.ReplaceAll(b, []byte(`"id":"`+id+`"`), []byte(`"id":"`+o.page+"_"+id+`"`))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return resp, err
}

func TestAReplyIsKnownByTheIDOfItsEventWhateverItsNodeSays(t *testing.T) {
	rules := facebook.Rules{Posts: facebook.Relevant, Comments: true, Keywords: []string{"price"}}
	inWorld(t, graphtest.Options{Doubts: graphtest.Doubts{MiddleParent: true}}, rules, func(w *world) {
		w.stop()
		w.app = newApp(w.fb)
		w.app.HTTP.Transport = otherIDs{w.app.HTTP.Transport, w.page.ID}
		w.cfg.Connectors = []channel.Connector{w.app}
		require.NoError(w.t, w.fb.Subscribe(w.app.Webhook(), "verify"))
		w.open()
		reply := w.ann.Comment(w.page.Comment(w.page.Post("New shoes"), "In three colours"), "Hm")
		time.Sleep(2 * time.Hour) // the reply is left out, and not remembered
		w.fb.EditText(reply, "The price?")
		w.settle()
		require.Empty(w.t, w.tickets())
		w.page.Comment(reply, "25")
		w.settle()
		require.Zero(w.t, w.ledger().Waiting, "what it answers came before, and became no message")
	})
}
