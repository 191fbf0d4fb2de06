package facebook_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

func TestAHostReadsThePayloadOfWhatWasTapped(t *testing.T) {
	inVariants(t, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.ann.WriteWith(w.page.ID, "Red", map[string]any{"quick_reply": map[string]any{"payload": "COLOUR=rot\x00é"}})
		w.ann.Tap(w.page.ID, "Get started", "START")
		w.ann.Tap(w.page.ID, "Long", strings.Repeat("x", 5000))
		w.ann.Write(w.page.ID, "typed")
		w.settle()
		got, defects := map[string]string{}, map[string]int{}
		for _, m := range w.timeline(w.only().ID) {
			got[m.Text], defects[m.Text] = m.Payload, len(m.Defects)
		}
		require.Equal(t, map[string]string{"Red": "COLOUR=roté", "Get started": "START", "Long": "", "typed": ""}, got)
		require.Equal(t, map[string]int{"Red": 0, "Get started": 0, "Long": 1, "typed": 0}, defects)
	})
}

func TestADeletedMessageKeepsNoPayload(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.ann.Tap(w.page.ID, "Call me", "PHONE=0123")
		w.settle()
		m := w.timeline(w.only().ID)[0]
		require.Equal(t, "PHONE=0123", m.Payload)
		_, err := w.desk.DeleteMessage(w.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		require.Empty(t, w.message(m.ID).Payload)
	})
}

func TestAPostbackInStandbyHasNoPayload(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.page.Route(graphtest.OtherApp, false)
		w.ann.Write(w.page.ID, "Hello")
		w.ann.Tap(w.page.ID, "Get started", "START")
		w.settle()
		for _, m := range w.timeline(w.only().ID) {
			require.Empty(t, m.Payload)
		}
	})
}
