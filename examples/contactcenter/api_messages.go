package main

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/ticket"
)

func (s *server) getMessage(w http.ResponseWriter, r *http.Request) error {
	m, err := s.desk.Message(r.Context(), pathMessage(r))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, showMessage(m))
}

func (s *server) deleteMessage(w http.ResponseWriter, r *http.Request) error {
	withdrawn, err := s.desk.DeleteMessage(r.Context(), actor(r), pathMessage(r))
	if err != nil {
		return err
	}
	m, err := s.desk.Message(r.Context(), pathMessage(r))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, map[string]any{"withdrawn": withdrawn, "message": showMessage(m)})
}

func (s *server) actOnMessage(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Action channel.Verb `json:"action"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	known := []channel.Verb{channel.VerbLike, channel.VerbUnlike, channel.VerbHide, channel.VerbUnhide, channel.VerbTyping, channel.VerbSeen, channel.VerbWithdraw}
	if !slices.Contains(known, in.Action) && !strings.HasPrefix(string(in.Action), string(facebook.React(""))) {
		return badField("action", "must be one of those that the channel lists in can")
	}
	err := s.desk.Act(r.Context(), actor(r), pathMessage(r), in.Action)
	if errors.Is(err, ticket.ErrNotAble) {
		return &apiError{status: http.StatusConflict, Code: "not_able", Message: "action: the channel cannot do this", Field: "action"}
	}
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, map[string]any{"result": "done"})
}

// download writes content that the browser must keep, not show.
func download(w http.ResponseWriter, name, contentType string, size int64, body io.Reader) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", disposition(name))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	}
	_, _ = io.Copy(w, body) // what fails now can no longer be told
}

func downloadBody(w http.ResponseWriter, name, contentType string, body channel.Body) error {
	f, err := body.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	download(w, name, contentType, body.Size(), f)
	return nil
}

// disposition is RFC 6266's, with the name in RFC 8187's form if need be.
func disposition(name string) string {
	if d := mime.FormatMediaType("attachment", map[string]string{"filename": name}); d != "" {
		return d
	}
	return "attachment"
}

func (s *server) getRaw(w http.ResponseWriter, r *http.Request) error {
	body, err := s.desk.Raw(r.Context(), pathMessage(r))
	if err != nil {
		return err
	}
	return downloadBody(w, "message.eml", "message/rfc822", body)
}

// shownTypes may be shown as images; all else is bytes to a browser.
var shownTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

func (s *server) getAttachment(w http.ResponseWriter, r *http.Request) error {
	a, f, err := s.desk.OpenAttachment(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	defer f.Close()
	t := strings.ToLower(a.Type)
	if !slices.Contains(shownTypes, t) {
		t = "application/octet-stream"
	}
	// The size is not sent: broken base64 may end earlier than was thought.
	download(w, a.Name, t, -1, f)
	return nil
}

// pictureTime is how long a browser may show a picture without asking again, in
// seconds.
const pictureTime = 600

// getPicture passes on the picture that a customer shows on their network.
func (s *server) getPicture(w http.ResponseWriter, r *http.Request) error {
	a, err := s.desk.Picture(r.Context(), ticket.ContactID(r.PathValue("id")))
	if _, told := errors.AsType[*facebook.Error](err); told {
		return &apiError{status: http.StatusServiceUnavailable, Code: "unavailable", Message: "the network does not give it now; try later", cause: err}
	}
	if err != nil {
		return err
	}
	f, err := a.Body.Open()
	if err != nil {
		return fmt.Errorf("read picture: %w", err)
	}
	defer f.Close()
	w.Header().Set("Cache-Control", "private, max-age="+strconv.Itoa(pictureTime))
	download(w, a.Name, a.Type, a.Size, f)
	return nil
}

func (s *server) explainMessage(w http.ResponseWriter, r *http.Request) error {
	decisions, err := s.desk.Explain(r.Context(), pathMessage(r))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, map[string]any{"decisions": list(decisions)})
}
