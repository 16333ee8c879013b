package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Fetcher brings static files. The path is relative and escaped as in a URL:
// any file server, a neighbour kiosk or a map in a test can be one. Nothing
// that it brings is believed without a signature.
type Fetcher interface {
	// Get returns a file of at most limit bytes. The error wraps ErrNotFound if
	// there is no such file, and ErrTooLong if it is longer.
	Get(ctx context.Context, path string, limit int64) ([]byte, error)
}

// Errors of a Fetcher.
var (
	ErrNotFound = errors.New("there is no such file")
	ErrTooLong  = errors.New("the file is longer than it may be")
)

// Below returns a Fetcher of what lies below prefix.
func Below(f Fetcher, prefix string) Fetcher {
	return below{f, strings.TrimSuffix(prefix, "/") + "/"}
}

type below struct {
	f      Fetcher
	prefix string
}

func (b below) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	return b.f.Get(ctx, b.prefix+path, limit)
}

// HTTP returns a Fetcher of the files below a base URL. The client's own
// time-outs bound each request.
func HTTP(client *http.Client, base string) (Fetcher, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no http or https address", base)
	}
	return &web{client, strings.TrimSuffix(base, "/") + "/"}, nil
}

type web struct {
	client *http.Client
	base   string
}

func (w *web) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusForbidden, http.StatusGone: // object stores say 403 for what is not there
		return nil, fmt.Errorf("%s: %w", path, ErrNotFound)
	default:
		return nil, fmt.Errorf("%s: the server answered %s", path, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s: %w (%d bytes)", path, ErrTooLong, limit)
	}
	return data, nil
}

// get asks a Fetcher and does not believe that it kept the limit.
func get(ctx context.Context, f Fetcher, path string, limit int64) ([]byte, error) {
	if f == nil {
		return nil, errors.New("there is nowhere to fetch from")
	}
	data, err := f.Get(ctx, path, limit)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("fetching %s: %w (%d bytes)", path, ErrTooLong, limit)
	}
	return data, nil
}

// escape makes a URL path of a target's name.
func escape(name string) (string, error) {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		if p == "" || p == "." || p == ".." {
			return "", refused("target %q: no such name can be fetched", name)
		}
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/"), nil
}
