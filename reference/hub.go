package reference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	maxListing   = 16 << 20         // bytes of the hub's answer about a repository
	maxRedirects = 10               // as browsers and net/http have it
	maxAttempts  = 5                // of one request, or of one file without progress
	maxWait      = 60 * time.Second // between two attempts
	stallTimeout = 60 * time.Second // without a byte of a body
	progressSize = 1 << 20          // bytes that count as progress between attempts
)

// A hub is one endpoint of the hub's API.
type hub struct {
	base   *url.URL
	token  string
	agent  string
	client *http.Client
	sleep  func(context.Context, time.Duration) error
	stall  time.Duration
}

func (s *Store) hub() (*hub, error) {
	endpoint := s.Endpoint
	if endpoint == "" {
		endpoint = DefaultEndpoint
	}
	base, err := url.Parse(strings.TrimRight(endpoint, "/"))
	if err != nil || base.Host == "" || (base.Scheme != "https" && base.Scheme != "http") || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return nil, fmt.Errorf("the hub endpoint %s is no http or https address", quote(endpoint))
	}
	transport := s.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:   15 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       30 * time.Second,
			MaxIdleConns:          4,
			// Sizes and ranges must be those of the file, not of its compression.
			DisableCompression: true,
			ForceAttemptHTTP2:  true,
		}
	}
	h := &hub{
		base:  base,
		token: s.Token,
		agent: s.UserAgent,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		sleep: s.sleep,
		stall: s.stall,
	}
	if h.token == "" && s.TokenFile != "" {
		if data, err := os.ReadFile(s.TokenFile); err == nil && len(data) <= 4096 {
			h.token = strings.TrimSpace(string(data))
		}
	}
	if strings.ContainsFunc(h.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the hub token has characters that no token has")
	}
	if h.agent == "" {
		h.agent = "btu-scan"
	}
	if h.sleep == nil {
		h.sleep = sleep
	}
	if h.stall == 0 {
		h.stall = stallTimeout
	}
	return h, nil
}

func (h *hub) close() {
	h.client.CloseIdleConnections()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// A transientError is worth another attempt.
type transientError struct {
	err   error
	after time.Duration // what the server asked for; 0 if it did not
}

func (e *transientError) Error() string { return e.err.Error() }
func (e *transientError) Unwrap() error { return e.err }

// pause waits before attempt n+1, or returns err if another attempt makes no
// sense.
func (h *hub) pause(ctx context.Context, n int, err error) error {
	var t *transientError
	if !errors.As(err, &t) || ctx.Err() != nil {
		return err
	}
	if n >= maxAttempts {
		return fmt.Errorf("%w (gave up after %d attempts)", err, n)
	}
	wait := min(time.Second<<(n-1), maxWait)
	if t.after > 0 {
		if t.after > maxWait {
			return fmt.Errorf("%w (it asks to wait %s)", err, t.after.Round(time.Second))
		}
		wait = t.after
	}
	if serr := h.sleep(ctx, wait); serr != nil {
		return serr
	}
	return nil
}

// retry calls f until it succeeds or fails for good.
func (h *hub) retry(ctx context.Context, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		if err == nil {
			return nil
		}
		if err := h.pause(ctx, n, err); err != nil {
			return err
		}
	}
}

// origin is what the token may be sent to.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// protected says whether nobody on the way can read what is sent to u.
func protected(u *url.URL) bool {
	if u.Scheme == "https" || u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

// send makes one request and follows no redirect. The result has a status of
// 2xx, 3xx or 416; any other is an error.
func (h *hub) send(ctx context.Context, method string, u *url.URL, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", h.agent)
	req.Header.Set("Accept-Encoding", "identity")
	home := origin(u) == origin(h.base)
	if h.token != "" && home && protected(u) {
		req.Header.Set("Authorization", "Bearer "+h.token)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // the address may be signed; it is no text for a message
		}
		return nil, &transientError{err: fmt.Errorf("%s: %w", u.Host, err)}
	}
	if c := resp.StatusCode; (c >= 200 && c < 400) || c == http.StatusRequestedRangeNotSatisfiable {
		return resp, nil
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096))
	return nil, h.failure(u, resp, home)
}

// failure turns a status that is none of success into an error.
func (h *hub) failure(u *url.URL, resp *http.Response, home bool) error {
	code, msg := resp.Header.Get("X-Error-Code"), resp.Header.Get("X-Error-Message")
	text := fmt.Sprintf("%s answers %d", u.Host, resp.StatusCode)
	if resp.StatusCode < 600 && http.StatusText(resp.StatusCode) != "" {
		text += " " + http.StatusText(resp.StatusCode)
	}
	if code != "" {
		text += ", " + quote(code)
	}
	if msg != "" && msg != code {
		text += ": " + quote(msg)
	}
	switch s := resp.StatusCode; {
	case s == http.StatusTooManyRequests || s == http.StatusRequestTimeout || s >= 500:
		return &transientError{err: errors.New(text), after: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	case !home:
		return &transientError{err: errors.New(text)} // a signed address that ran out; the next attempt gets a new one
	case s == http.StatusNotFound || s == http.StatusGone:
		return withHint(fmt.Errorf("%w: %s", ErrNotFound, text), "check the name and the revision; private repositories look missing without a token")
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		// The hub answers 401, not 404, to strangers who ask for what is not there.
		kind := ErrDenied
		if code == "RepoNotFound" {
			kind = ErrNotFound
		}
		err := fmt.Errorf("%w: %s", kind, text)
		switch {
		case code == "GatedRepo":
			return withHint(err, "the repository is gated: accept its terms on the hub, and give a token in HF_TOKEN or in HF_HOME/token")
		case h.token == "":
			return withHint(err, "the repository is private, gated or does not exist; a token is read from HF_TOKEN or from HF_HOME/token")
		case !protected(h.base):
			return withHint(err, "the token was not sent, as the endpoint is not https")
		}
		return withHint(err, "the token (from HF_TOKEN or HF_HOME/token) has no access to it")
	}
	return errors.New(text)
}

// retryAfter reads a Retry-After header, in seconds or as a date.
func retryAfter(v string, now time.Time) time.Duration {
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// next is where a redirect leads.
func next(u *url.URL, resp *http.Response) (*url.URL, error) {
	to, err := resp.Location()
	if err != nil {
		return nil, fmt.Errorf("%s redirects without saying where to", u.Host)
	}
	if to.Scheme != "https" && !(to.Scheme == "http" && u.Scheme == "http") {
		return nil, fmt.Errorf("%s redirects to another protocol, %s", u.Host, quote(to.Scheme))
	}
	if to.Host == "" || to.User != nil {
		return nil, fmt.Errorf("%s redirects to no host", u.Host)
	}
	return to, nil
}

func redirects(resp *http.Response) bool {
	switch resp.StatusCode {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// get makes a GET request and follows redirects. The token goes along only
// while they stay at the endpoint.
func (h *hub) get(ctx context.Context, u *url.URL, header http.Header) (*http.Response, error) {
	for range maxRedirects {
		resp, err := h.send(ctx, http.MethodGet, u, header)
		if err != nil || !redirects(resp) {
			return resp, err
		}
		to, err := next(u, resp)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		u = to
	}
	return nil, fmt.Errorf("%s: over %d redirects", u.Host, maxRedirects)
}

// A listing is what the hub says about a revision.
type listing struct {
	Commit string    `json:"sha"`
	Files  []sibling `json:"siblings"`
}

type sibling struct {
	Name string `json:"rfilename"`
	Size int64  `json:"size"`
	Blob string `json:"blobId"`
	LFS  struct {
		SHA256 string `json:"sha256"`
	} `json:"lfs"`
}

// etag is the digest the listing gives, or "".
func (s *sibling) etag() string {
	if s.LFS.SHA256 != "" {
		return s.LFS.SHA256
	}
	return s.Blob
}

// list asks for the files of a revision.
func (h *hub) list(ctx context.Context, id, revision string) (l listing, err error) {
	u := h.base.JoinPath("api", "models", id, "revision", url.PathEscape(revision))
	u.RawQuery = "blobs=true"
	err = h.retry(ctx, func() error {
		ctx, cancel := context.WithTimeoutCause(ctx, h.stall, errStalled)
		defer cancel()
		resp, err := h.get(ctx, u, http.Header{"Accept": {"application/json"}})
		if err != nil {
			return transientStall(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %d to the question about the repository", u.Host, resp.StatusCode)
		}
		data, err := readCapped(resp.Body, maxListing)
		if err != nil {
			return transientStall(err)
		}
		l = listing{}
		if err := json.Unmarshal(data, &l); err != nil {
			return fmt.Errorf("%s gives no list of files: %w", u.Host, err)
		}
		return nil
	})
	if err != nil {
		return listing{}, err
	}
	if !hex40.MatchString(l.Commit) {
		return listing{}, fmt.Errorf("%s gives no commit, but %s", u.Host, quote(l.Commit))
	}
	if hex40.MatchString(revision) && l.Commit != revision {
		return listing{}, fmt.Errorf("%s answers with commit %s when asked for %s", u.Host, short(l.Commit), short(revision))
	}
	return l, nil
}

// errStalled is the cause of a body that stopped coming.
var errStalled = errors.New("the server stopped sending")

func transientStall(err error) error {
	if errors.Is(err, errStalled) || errors.Is(err, io.ErrUnexpectedEOF) || isNetwork(err) {
		return &transientError{err: err}
	}
	return err
}

func isNetwork(err error) bool {
	var ne net.Error
	return errors.As(err, &ne)
}

// A remote is a file at the hub and what is known of it beforehand.
type remote struct {
	name string
	url  *url.URL
	etag string // 40 hex digits: git blob; 64: SHA-256
	size int64
}

// stat asks for the digest and the size of a file of the listing.
func (h *hub) stat(ctx context.Context, id, commit string, file sibling) (remote, error) {
	r := remote{name: file.Name, url: h.base.JoinPath(id, "resolve", commit, url.PathEscape(file.Name)), size: -1}
	err := h.retry(ctx, func() error {
		ctx, cancel := context.WithTimeoutCause(ctx, h.stall, errStalled)
		defer cancel()
		return transientStall(h.head(ctx, &r, commit))
	})
	if err != nil {
		return r, err
	}
	if listed := file.etag(); listed != "" {
		switch r.etag {
		case "":
			r.etag = listed
		case listed:
		default:
			return r, fmt.Errorf("%w: the hub lists it with digest %s and serves it with %s", ErrCorrupt, quote(listed), quote(r.etag))
		}
	}
	switch {
	case !hex40.MatchString(r.etag) && !hex64.MatchString(r.etag):
		return r, fmt.Errorf("%w: the digest %s is neither a SHA-256 nor a git blob, so the file cannot be checked", ErrCorrupt, quote(r.etag))
	case r.size < 0 && file.Size > 0:
		r.size = file.Size
	case r.size < 0:
		return r, fmt.Errorf("%w: the hub does not state the size", ErrCorrupt)
	}
	return r, nil
}

// head fills in the headers of the resolve address: what the hub itself says
// comes before what a host behind a redirect says, which is not asked.
func (h *hub) head(ctx context.Context, r *remote, commit string) error {
	r.etag, r.size = "", -1
	u := r.url
	for range maxRedirects {
		resp, err := h.send(ctx, http.MethodHead, u, nil)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if c := resp.Header.Get("X-Repo-Commit"); c != "" && c != commit {
			return fmt.Errorf("%s serves commit %s when asked for %s", u.Host, quote(c), short(commit))
		}
		if r.etag == "" {
			r.etag = unquoteETag(resp.Header.Get("X-Linked-Etag"))
		}
		if v := resp.Header.Get("X-Linked-Size"); v != "" && r.size < 0 {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 0 {
				return fmt.Errorf("%s states the size %s", u.Host, quote(v))
			}
			r.size = n
		}
		if !redirects(resp) {
			if r.etag == "" {
				r.etag = unquoteETag(resp.Header.Get("ETag"))
			}
			if r.size < 0 {
				r.size = resp.ContentLength
			}
			return nil
		}
		to, err := next(u, resp)
		if err != nil {
			return err
		}
		if (r.etag != "" && r.size >= 0) || origin(to) != origin(h.base) {
			return nil
		}
		u = to
	}
	return fmt.Errorf("%s: over %d redirects", u.Host, maxRedirects)
}

// unquoteETag strips W/ and the quotes.
func unquoteETag(v string) string {
	v = strings.TrimPrefix(strings.TrimSpace(v), "W/")
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		v = v[1 : len(v)-1]
	}
	return v
}
