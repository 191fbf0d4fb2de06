package facebook_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

// jpeg is what browsers take for a picture.
func jpeg(more string) []byte { return append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00"), more...) }

// contact is who wrote the only ticket.
func (w *world) contact() *ticket.Contact {
	w.t.Helper()
	id := w.only().Contact
	known, err := w.desk.Contacts(w.ctx, id)
	require.NoError(w.t, err)
	return known[id]
}

// face is a contact's picture, or "" if there is none.
func (w *world) face(id ticket.ContactID) string {
	w.t.Helper()
	at, err := w.desk.Picture(w.ctx, id)
	if err != nil {
		require.ErrorIs(w.t, err, ticket.ErrNotFound)
		return ""
	}
	r, err := at.Body.Open()
	require.NoError(w.t, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	require.NoError(w.t, err)
	return at.Type + " " + string(b[min(len(b), 11):])
}

// profiles counts the questions for somebody's profile.
func (w *world) profiles(p *graphtest.Person) int { return len(w.fb.Calls(p.PSID(w.page.ID))) }

func TestACustomersPictureIsAskedForOnceADayAndIsNotStored(t *testing.T) {
	inVariants(t, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.ann.SetPicture(jpeg("first"))
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		id := w.contact().ID
		before := w.profiles(w.ann)
		for range 3 {
			require.Equal(t, "image/jpeg first", w.face(id))
		}
		require.Equal(t, before+1, w.profiles(w.ann))
		w.ann.SetPicture(jpeg("second"))
		time.Sleep(25 * time.Hour) // the first address has long expired
		require.Equal(t, "image/jpeg second", w.face(id))
		w.stop()
		w.open()
		w.settle()
		w.ann.HideProfile()
		time.Sleep(25 * time.Hour)
		require.Empty(t, w.face(id), "what the person takes away is gone")
		_, err := w.desk.Picture(w.ctx, "nobody")
		require.ErrorIs(t, err, ticket.ErrNotFound)
	})
}

func TestWhoHasNoPictureIsNotAskedForAgainAndAgain(t *testing.T) {
	for name, hide := range map[string]func(w *world){
		"no profile":          func(w *world) { w.ann.HideProfile() },
		"no profile, by code": func(w *world) { w.fail(graphtest.Fault{Code: 100, Subcode: 2018218}) },
		"no permission":       func(w *world) { w.fail(graphtest.Fault{Code: 100, Subcode: 2018247}) },
		"gone":                func(w *world) { w.fail(graphtest.Fault{Code: 100, Subcode: 33}) },
		"no feature":          func(w *world) { w.fail(graphtest.Fault{Code: 10}) },
		"a dead address":      func(*world) {},
		"an expired address":  func(w *world) { w.ann.SetPicture(jpeg("x")); w.fail(graphtest.Fault{Path: "/pic.jpg", Status: 403}) },
		"no picture at all":   func(w *world) { w.ann.SetPicture([]byte("<html><script>alert(1)</script>")) },
		"an SVG":              func(w *world) { w.ann.SetPicture([]byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)) },
		"too large":           func(w *world) { w.ann.SetPicture(jpeg(strings.Repeat("x", 600<<10))) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
				hide(w)
				w.ann.Write(w.page.ID, "Hello")
				w.settle()
				id := w.contact().ID
				require.Empty(w.t, w.face(id))
				asked := w.profiles(w.ann)
				require.Empty(w.t, w.face(id))
				require.Equal(w.t, asked, w.profiles(w.ann))
				ch, err := w.desk.Channel(w.ctx, w.ch.ID)
				require.NoError(w.t, err)
				require.Equal(w.t, channel.StateLive, ch.Status.State)
				require.Equal(w.t, ticket.StateSent, w.reply(w.only().ID, "Hi").State)
			})
		})
	}
}

// fail makes all looks at Ann's profile, or at a path, end so.
func (w *world) fail(f graphtest.Fault) {
	if f.Times = -1; f.Path == "" {
		f.Path, f.Method = "/"+w.ann.PSID(w.page.ID), http.MethodGet
		f.Path = f.Path[1:]
	}
	w.fb.Fail(f)
}

func TestAPictureThatFailsForNowIsThereLater(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.ann.SetPicture(jpeg("face"))
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		id := w.contact().ID
		for _, f := range []graphtest.Fault{{Status: 500}, {Lost: true}, {Path: "/pic.jpg", Status: 503}, {Path: "/pic.jpg", Lost: true}} {
			w.fail(f)
			_, err := w.desk.Picture(w.ctx, id)
			require.Error(t, err)
			require.NotErrorIs(t, err, ticket.ErrNotFound)
			require.NotContains(t, err.Error(), "pic.jpg", "the address is a secret")
			w.fb.Heal()
		}
		// What others use the API for comes first.
		w.fb.Fail(graphtest.Fault{Path: "/subscribed_apps", Header: http.Header{"X-Business-Use-Case-Usage": {`{"` + w.page.ID + `":[{"type":"messenger","call_count":95}]}`}}})
		_, err := w.desk.Check(w.ctx, w.ch.ID)
		require.NoError(t, err)
		asked := w.profiles(w.ann)
		_, err = w.desk.Picture(w.ctx, id)
		var ge *facebook.Error
		require.ErrorAs(t, err, &ge)
		require.Equal(t, "throttled", ge.Name())
		require.Equal(t, asked, w.profiles(w.ann))
		time.Sleep(10 * time.Minute)
		require.Equal(t, "image/jpeg face", w.face(id))
	})
}

func TestPicturesAreFetchedFromFacebooksHostsOnly(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		w.ann.SetPicture(jpeg("face"))
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		w.app.MediaHosts = []string{"fbcdn.net"}
		require.Empty(w.t, w.face(w.contact().ID))
	})
}

func TestPicturesAreNoneOfAChannelThatIsOff(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.ann.SetPicture(jpeg("face"))
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		id := w.contact().ID
		_, err := w.desk.Update(w.ctx, w.ch.ID, ticket.ChannelPatch{Settings: &ticket.Settings{Queue: "q", Inactive: true}})
		require.NoError(t, err)
		asked := w.profiles(w.ann)
		require.Empty(t, w.face(id))
		require.Equal(t, asked, w.profiles(w.ann))
	})
}

func TestFewProfilesAreAskedForAtATimeAndLittleIsHeld(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.hold() // else the desk asks for their names
		acct, err := facebook.Page{ID: w.page.ID, Token: w.admin.PageToken(w.page.ID)}.Account()
		require.NoError(t, err)
		app := newApp(w.fb)
		app.Limits.Pictures = 64 << 10
		ch, err := app.Open(w.ctx, acct, channel.Env{})
		require.NoError(t, err)
		people := make([]*graphtest.Person, 40)
		for i := range people {
			people[i] = w.fb.AddPerson("Somebody")
			people[i].SetPicture(jpeg(string(bytes.Repeat([]byte{'x'}, 4<<10))))
			people[i].Write(w.page.ID, "Hello")
		}
		var mu sync.Mutex
		now, most := 0, 0
		release := make(chan struct{})
		for _, p := range people {
			w.fb.Fail(graphtest.Fault{Path: p.PSID(w.page.ID), Before: func() {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				<-release
				mu.Lock()
				now--
				mu.Unlock()
			}})
		}
		var all sync.WaitGroup
		for _, p := range people {
			all.Go(func() {
				got, err := ch.(channel.Profiler).Profile(w.ctx, p.PSID(w.page.ID))
				if err != nil || got.Picture == nil || got.Name != "Somebody" {
					t.Error("no profile", err)
				}
			})
		}
		synctest.Wait()
		close(release)
		all.Wait()
		require.Equal(t, 4, most)
		asked := len(w.fb.Calls(""))
		for _, p := range people {
			_, err := ch.(channel.Profiler).Profile(w.ctx, p.PSID(w.page.ID))
			require.NoError(t, err)
		}
		again := len(w.fb.Calls("")) - asked
		require.Greater(t, again, 20, "64 KiB hold no 40 pictures of 4 KiB")
		for _, id := range []string{w.page.ID, "unknown-1_2", "", "../me", strings.Repeat("9", 99)} {
			got, err := ch.(channel.Profiler).Profile(w.ctx, id)
			require.NoError(t, err)
			require.Equal(t, channel.Profile{}, got)
		}
	})
}

func TestWhoHidesTheirProfileIsCalledAsMessengerDoes(t *testing.T) {
	inVariants(t, facebook.Rules{Messages: true}, func(w *world) {
		w.ann.HideProfile()
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		require.Equal(w.t, "Ann Lê", w.contact().Name)
		calls := len(w.fb.Calls("/conversations"))
		w.ann.Write(w.page.ID, "Hello again")
		w.settle()
		require.Len(w.t, w.fb.Calls("/conversations"), calls, "it is remembered")
	})
}

func TestANameIsAskedForAgainSoonAfterTheAuthorizationWasMended(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		w.fail(graphtest.Fault{Code: 190})
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		require.Empty(w.t, w.contact().Name)
		w.fb.Heal()
		time.Sleep(11 * time.Minute)
		w.ann.Write(w.page.ID, "Hello again")
		w.settle()
		require.Equal(w.t, "Ann Lê", w.contact().Name)
	})
}
