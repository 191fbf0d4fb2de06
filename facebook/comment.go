package facebook

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/anteroom/anteroom/channel"
)

// scopePictures is what pictures in comments need besides [Scopes].
const scopePictures = "pages_manage_posts"

// scopes are the permissions that this app needs.
func (a *App) scopes() []Scope {
	if !a.CommentPictures {
		return Scopes()
	}
	return append(Scopes(), Scope{scopePictures, "pictures cannot be added to comments"})
}

// checkPictures refuses the files that cannot be in a public comment: all but
// pictures, and those too if the app may not.
func (a *App) checkPictures(files []channel.Attachment) error {
	for i := range files {
		switch {
		case fileKind(files[i].Type) != "image":
			return refuse("attachment_in_comment", "a public comment can have pictures, and no other files", "Answer privately, or without the file.")
		case !a.CommentPictures:
			return refuse("attachment_in_comment", "this app may not add pictures to public comments",
				"Answer privately, or without the file; or have the app granted "+scopePictures+" and switch pictures in comments on.")
		}
	}
	return nil
}

// comment writes one comment. A picture is uploaded before, as a photo of the Page
// that is not published
// (https://developers.facebook.com/docs/graph-api/reference/object/comments).
func (s *sending) comment(ctx context.Context, part part) error {
	params := url.Values{}
	if part.text != "" {
		params.Set("message", part.text)
	}
	if part.file != nil {
		id, err := s.upload(ctx, part.file)
		if err != nil {
			return err
		}
		params.Set("attachment_id", id)
	}
	var out struct {
		ID ident `json:"id"`
	}
	c := s.page.call(s.target+"/comments", poolPages, params, &out)
	c.method, c.says = http.MethodPost, true
	if err := s.page.app.do(ctx, c); err != nil {
		return err
	}
	if out.ID == "" {
		return &Error{Status: http.StatusOK, Message: "the answer names no comment"}
	}
	s.note(part, string(out.ID))
	return nil
}

// upload uploads a picture, which nobody sees by that
// (https://developers.facebook.com/docs/graph-api/reference/page/photos). Whatever
// goes wrong, the comment did not leave: the error is a *channel.SendError that
// says so. That the app may not upload is no reason to connect the Page again for
// all else.
func (s *sending) upload(ctx context.Context, f *channel.Attachment) (string, error) {
	var out struct {
		ID ident `json:"id"`
	}
	c := s.page.call(s.page.id+"/photos", poolPages, url.Values{"published": {"false"}}, &out)
	c.method, c.file, c.filePart = http.MethodPost, f, "source"
	err := s.page.app.do(ctx, c)
	if err == nil && !plausibleNode(string(out.ID)) {
		err = &Error{Status: http.StatusOK, Message: "the answer names no photo"}
	}
	if ge, ok := errors.AsType[*Error](err); ok && ge.Class() == ClassAuthorization && ge.Code != 190 && ge.Code != 102 {
		return "", refuse("picture_permission", "the app may not upload pictures: "+ge.reason(),
			"Connect the Page again, granting "+scopePictures+"; or answer without the picture.")
	}
	if err != nil {
		return "", sendError(err, false)
	}
	return string(out.ID), nil
}
