package channel_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

// fileBody is a body whose reader can seek, unlike that of channel.Bytes.
type fileBody struct {
	path string
	size int64
}

func (b fileBody) Size() int64                  { return b.size }
func (b fileBody) Open() (io.ReadCloser, error) { return os.Open(b.path) }

func newFileBody(t testing.TB, content string) fileBody {
	t.Helper()
	path := filepath.Join(t.TempDir(), "body")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return fileBody{path, int64(len(content))}
}

// oddBody says one size and has other content, or fails.
type oddBody struct {
	size   int64
	reader io.Reader
	err    error
	closed *bool
}

func (b oddBody) Size() int64 { return b.size }
func (b oddBody) Open() (io.ReadCloser, error) {
	if b.err != nil {
		return nil, b.err
	}
	return closer{b.reader, b.closed}, nil
}

type closer struct {
	io.Reader
	closed *bool
}

func (c closer) Close() error {
	if c.closed != nil {
		*c.closed = true
	}
	return nil
}

func TestBytesCanBeReadMoreThanOnce(t *testing.T) {
	t.Parallel()
	b := channel.Bytes("content")
	require.EqualValues(t, 7, b.Size())
	for range 2 {
		r, err := b.Open()
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.Equal(t, "content", string(got))
	}
}

func TestReadBodyKeepsItsLimit(t *testing.T) {
	t.Parallel()
	got, err := channel.ReadBody(nil, 0)
	require.NoError(t, err)
	require.Nil(t, got)

	got, err = channel.ReadBody(channel.Bytes("1234"), 4)
	require.NoError(t, err)
	require.Equal(t, "1234", string(got))
	got, err = channel.ReadBody(newFileBody(t, "1234"), 4)
	require.NoError(t, err)
	require.Equal(t, "1234", string(got))

	_, err = channel.ReadBody(channel.Bytes("12345"), 4)
	require.ErrorContains(t, err, "limit")
	_, err = channel.ReadBody(oddBody{size: 1, reader: strings.NewReader("12345")}, 4)
	require.ErrorContains(t, err, "limit", "a body that lies about its size is bounded all the same")
	closed := false
	_, err = channel.ReadBody(oddBody{size: 1, reader: iotest.ErrReader(errors.New("disk")), closed: &closed}, 4)
	require.EqualError(t, err, "disk")
	require.True(t, closed)
	_, err = channel.ReadBody(oddBody{err: errors.New("gone")}, 4)
	require.EqualError(t, err, "gone")
}

func TestAWindowShowsItsPart(t *testing.T) {
	t.Parallel()
	raw := "head\r\naGVs\r\nbG8=\r\ntail=3D=\r\nend"
	for name, body := range map[string]channel.Body{"memory": channel.Bytes(raw), "file": newFileBody(t, raw)} {
		for _, c := range []struct {
			name string
			w    channel.Window
			want string
		}{
			{"plain", channel.Window{Offset: 0, Length: 4}, "head"},
			{"base64 over two lines", channel.Window{Offset: 6, Length: 10, Encoding: "base64"}, "hello"},
			{"base64 in capitals", channel.Window{Offset: 6, Length: 10, Encoding: " BASE64 "}, "hello"},
			{"quoted-printable", channel.Window{Offset: 18, Length: 13, Encoding: "quoted-printable"}, "tail=end"},
			{"unknown encodings pass", channel.Window{Offset: 0, Length: 4, Encoding: "x-uuencode"}, "head"},
			{"empty at the end", channel.Window{Offset: int64(len(raw))}, ""},
			{"the whole", channel.Window{Length: int64(len(raw))}, raw},
		} {
			t.Run(name+": "+c.name, func(t *testing.T) {
				t.Parallel()
				r, err := c.w.Open(body)
				require.NoError(t, err)
				got, err := io.ReadAll(r)
				require.NoError(t, err)
				require.NoError(t, r.Close())
				require.Equal(t, c.want, string(got))
			})
		}
	}
}

func TestAWindowOutsideItsBodyIsAnError(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]channel.Window{
		"past the end":      {Offset: 3, Length: 2},
		"starts after it":   {Offset: 5},
		"negative offset":   {Offset: -1, Length: 1},
		"negative length":   {Offset: 1, Length: -1},
		"length overflows":  {Offset: 1, Length: math.MaxInt64},
		"both at the limit": {Offset: math.MaxInt64, Length: math.MaxInt64},
	} {
		_, err := w.Open(channel.Bytes("1234"))
		require.Error(t, err, name)
	}
	_, err := channel.Window{}.Open(nil)
	require.Error(t, err)
	_, err = channel.Window{}.Open(oddBody{err: errors.New("gone")})
	require.EqualError(t, err, "gone")
}

func TestAWindowClosesABodyThatIsTooShort(t *testing.T) {
	t.Parallel()
	closed := false
	_, err := channel.Window{Offset: 10, Length: 1}.Open(oddBody{size: 20, reader: strings.NewReader("short"), closed: &closed})
	require.ErrorContains(t, err, "channel: seek window")
	require.True(t, closed)
}

func TestBase64IsReadAsFarAsItMakesSense(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"one byte", "YQ==", "a"},
		{"two bytes", "YWI=", "ab"},
		{"three bytes", "YWJj", "abc"},
		{"no padding", "YQ", "a"},
		{"lines", "YW\r\nJj\n\tZA==", "abcd"},
		{"foreign bytes", "Y*W\x00J\xffj!", "abc"},
		{"a footer after the padding", "YWI=\r\n_____\r\nlist@example.com", "ab"},
		{"a lone character at the end", "YWJjZ", "abc"},
		{"only padding", "====", ""},
	} {
		got, err := io.ReadAll(channel.Decode(strings.NewReader(c.in), "base64"))
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, string(got), c.name)
	}
}

func TestBase64PassesReadErrorsOn(t *testing.T) {
	t.Parallel()
	broken := io.MultiReader(strings.NewReader("YWJj"), iotest.ErrReader(errors.New("disk")))
	got, err := io.ReadAll(channel.Decode(broken, "base64"))
	require.EqualError(t, err, "disk", "a disk error must not look like the end of the file")
	require.Equal(t, "abc", string(got))
}

func TestBase64KeepsTheContractOfReaders(t *testing.T) {
	t.Parallel()
	want := bytes.Repeat([]byte("anteroom"), 1000)
	enc := base64.StdEncoding.EncodeToString(want)
	require.NoError(t, iotest.TestReader(channel.Decode(strings.NewReader(enc), "base64"), want))
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "YQ==", "Y", "YW\r\nJj", "a=3D=\r\nb", "=\r\n=0", "\xff\x00=", "YWI=\r\nfooter"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := io.ReadAll(channel.Decode(bytes.NewReader(in), "base64"))
		if err != nil {
			t.Fatalf("base64: %v", err)
		}
		if len(got) > len(in)/4*3+3 {
			t.Fatalf("%d bytes became %d", len(in), len(got))
		}
		if want, err := base64.StdEncoding.DecodeString(string(in)); err == nil && !bytes.Equal(got, want) {
			t.Fatalf("valid base64 %q became %q, want %q", in, got, want)
		}
		bytewise, err := io.ReadAll(iotest.OneByteReader(channel.Decode(iotest.OneByteReader(bytes.NewReader(in)), "base64")))
		if err != nil || !bytes.Equal(got, bytewise) {
			t.Fatalf("read bytewise %q (%v), at once %q", bytewise, err, got)
		}
		enc := base64.StdEncoding.EncodeToString(in)
		if back, err := io.ReadAll(channel.Decode(strings.NewReader(enc), "base64")); err != nil || !bytes.Equal(back, in) {
			t.Fatalf("%q came back as %q (%v)", in, back, err)
		}
		quoted, err := io.ReadAll(channel.Decode(bytes.NewReader(in), "quoted-printable"))
		if err != nil || len(quoted) > len(in) {
			t.Fatalf("quoted-printable %q became %d bytes (%v)", in, len(quoted), err)
		}
		var q bytes.Buffer
		w := quotedprintable.NewWriter(&q)
		w.Binary = true
		if _, err := w.Write(in); err != nil || w.Close() != nil {
			t.Fatal("encode")
		}
		if back, err := io.ReadAll(channel.Decode(&q, "quoted-printable")); err != nil || !bytes.Equal(back, in) {
			t.Fatalf("%q came back as %q (%v)", in, back, err)
		}
		if got, err := io.ReadAll(channel.Decode(bytes.NewReader(in), "8bit")); err != nil || !bytes.Equal(got, in) {
			t.Fatalf("8bit changed %q to %q (%v)", in, got, err)
		}
	})
}

func FuzzWindow(f *testing.F) {
	f.Add([]byte("head\r\naGVsbG8=\r\ntail"), int64(6), int64(8), "base64")
	f.Add([]byte(""), int64(0), int64(0), "")
	f.Add([]byte("x"), int64(math.MaxInt64), int64(math.MaxInt64), "quoted-printable")
	f.Add([]byte("x"), int64(-1), int64(2), "")
	f.Fuzz(func(t *testing.T, raw []byte, offset, length int64, encoding string) {
		w := channel.Window{Offset: offset, Length: length, Encoding: encoding}
		r, err := w.Open(channel.Bytes(raw))
		inside := offset >= 0 && length >= 0 && offset <= int64(len(raw)) && length <= int64(len(raw))-offset
		if inside != (err == nil) {
			t.Fatalf("window %+v of %d bytes: error %v", w, len(raw), err)
		}
		if err != nil {
			return
		}
		got, err := io.ReadAll(r)
		if cerr := r.Close(); cerr != nil {
			t.Fatal(cerr)
		}
		want, wantErr := io.ReadAll(channel.Decode(bytes.NewReader(raw[offset:offset+length]), encoding))
		if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
			t.Fatalf("window %+v of %q: %q (%v), want %q (%v)", w, raw, got, err, want, wantErr)
		}
	})
}
