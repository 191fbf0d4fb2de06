package graphtest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/facebook/graphtest"
)

// get calls the API with a token and returns status and answer.
func get(t *testing.T, fb *graphtest.Graph, path, token string, q url.Values) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, fb.URL()+"/v26.0/"+path+"?"+q.Encode(), nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := fb.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	out := map[string]any{}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&out))
	return resp.StatusCode, out
}

func TestBodiesAreEscapedAsFacebookSignsThem(t *testing.T) {
	t.Parallel()
	body := graphtest.Escape(map[string]any{"text": "ä / 🙂 <b>"})
	require.JSONEq(t, `{"text":"ä / 🙂 <b>"}`, string(body))
	require.Contains(t, string(body), `"\u00e4 \/ \ud83d\ude42 <b>"`)
}

func TestListsHaveEmptyPagesAndABound(t *testing.T) {
	t.Parallel()
	fb := graphtest.New(graphtest.Options{})
	page, admin := fb.AddPage("Shop"), fb.AddPerson("Admin")
	token := admin.PageToken(page.ID)
	for range 7 {
		page.Post("x")
	}
	status, _ := get(t, fb, page.ID+"/feed", token, url.Values{"limit": {"101"}})
	require.Equal(t, http.StatusBadRequest, status)
	seen, empty, after := 0, 0, ""
	for range 20 {
		_, out := get(t, fb, page.ID+"/feed", token, url.Values{"limit": {"3"}, "after": {after}})
		data := out["data"].([]any)
		seen += len(data)
		if len(data) == 0 {
			empty++
		}
		paging := out["paging"].(map[string]any)
		if paging["next"] == nil {
			break
		}
		after = paging["cursors"].(map[string]any)["after"].(string)
	}
	require.Equal(t, 7, seen)
	require.Positive(t, empty)
}

func TestABadTokenIsToldInsideASuccess(t *testing.T) {
	t.Parallel()
	fb := graphtest.New(graphtest.Options{})
	page, admin := fb.AddPage("Shop"), fb.AddPerson("Admin")
	token := admin.PageToken(page.ID)
	admin.Invalidate(graphtest.PasswordChanged)
	status, out := get(t, fb, "debug_token", fb.AppID()+"|"+fb.AppSecret(), url.Values{"input_token": {token}})
	require.Equal(t, http.StatusOK, status)
	data := out["data"].(map[string]any)
	require.Equal(t, false, data["is_valid"])
	require.EqualValues(t, 460, data["error"].(map[string]any)["subcode"])
	status, _ = get(t, fb, page.ID, token, nil)
	require.Equal(t, http.StatusBadRequest, status)
}

func TestOnlyWhatIsSubscribedAtBothLevelsComesAndIsRetriedUntilTheHourIsOver(t *testing.T) {
	t.Parallel()
	now := time.Now()
	fb := graphtest.New(graphtest.Options{Now: func() time.Time { return now }})
	page, ann := fb.AddPage("Shop"), fb.AddPerson("Ann")
	status := http.StatusOK
	var bodies, signatures []string
	require.NoError(t, fb.Subscribe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, r.URL.Query().Get("hub.challenge"))
			return
		}
		b, _ := io.ReadAll(r.Body)
		signatures = append(signatures, r.Header.Get("X-Hub-Signature-256"))
		bodies = append(bodies, string(b))
		w.WriteHeader(status)
	}), "v"))
	ann.Write(page.ID, "nobody hears it")
	require.Zero(t, fb.Pending())
	fb.SubscribePage(page.ID, "messages")
	ann.Read(page.ID)
	ann.Write(page.ID, "hello")
	require.Equal(t, 1, fb.Pending())
	status = http.StatusInternalServerError
	for range 20 {
		require.Error(t, fb.Deliver(context.Background()))
		now = now.Add(time.Hour)
		if fb.Pending() == 0 {
			break
		}
	}
	require.Len(t, bodies, 2)
	require.Regexp(t, `^sha256=[0-9a-f]{64}$`, signatures[0])
	require.Empty(t, fb.Subscribed(page.ID), "the app is unsubscribed")
}
