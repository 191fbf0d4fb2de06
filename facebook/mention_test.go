package facebook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

func TestMentionsAndRatingsAreNotAskedForAndAreCountedIfTheyCome(t *testing.T) {
	inWorld(t, graphtest.Options{}, everything, func(w *world) {
		t := w.t
		require.NotContains(t, facebook.Fields(), "mention")
		require.NotContains(t, facebook.Fields(), "ratings")
		require.NotContains(t, w.fb.Subscribed(w.page.ID), "ratings")
		w.post(&graphtest.Event{Page: w.page.ID, Field: "mention", Source: "changes", Body: map[string]any{
			"item": "comment", "verb": "add", "post_id": "77_1", "comment_id": "1_2", "message": "Ask @Shop", "created_time": 1767225600}},
			&graphtest.Event{Page: w.page.ID, Field: "ratings", Source: "changes", Body: map[string]any{
				"item": "rating", "verb": "add", "reviewer_id": 1, "reviewer_name": "Ann", "recommendation_type": "POSITIVE", "review_text": "Nice", "created_time": 1767225600}})
		w.settle()
		require.Empty(t, w.conversations())
		require.EqualValues(t, 2, w.ledger().Ignored[channel.CauseUnknown])
		items, _, err := w.cfg.Store.Items(w.ctx, ticket.ItemFilter{Channel: w.ch.ID, Disposition: ticket.DisposedIgnored}, ticket.Page{})
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"a change of mention", "a change of ratings"}, []string{items[0].Detail, items[1].Detail})
	})
}
