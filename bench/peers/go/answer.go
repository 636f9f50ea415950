package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"strconv"
)

// failure is an error that a client is told of.
type failure struct {
	status  int
	code    string
	message string
}

func (f *failure) Error() string { return f.message }

var (
	errAnonymous = &failure{401, "unauthenticated", "no valid owner"}
	errNotFound  = &failure{404, "not_found", "no such image"}
	errBlocked   = &failure{451, "blocked", "the image is blocked"}
	errExpired   = &failure{410, "gone", "the image has expired"}
	errNotReady  = &failure{409, "not_ready", "the image is not ready"}
	errTooLarge  = &failure{413, "too_large", "the image is too large"}
	errTooMany   = &failure{413, "too_many_files", "too many files"}
	errPixels    = &failure{413, "too_many_pixels", "too many pixels"}
	errType      = &failure{415, "unsupported_type", "not a supported image"}
	errForm      = &failure{400, "malformed_form", "the form is malformed"}
	errLength    = &failure{400, "length_mismatch", "the body broke off"}
	errStorage   = &failure{503, "storage_unavailable", "storage unavailable"}
	errMetadata  = &failure{503, "metadata_unavailable", "database unavailable"}
	errInternal  = &failure{500, "internal", "internal error"}
)

type errorJSON struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type failureJSON struct {
	Success   bool      `json:"success"`
	Error     errorJSON `json:"error"`
	Errors    []string  `json:"errors"`
	Images    []int     `json:"images"`
	RequestID string    `json:"requestId"`
}

func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func headers(h http.Header, cache string) {
	h["Cache-Control"] = []string{cache}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["Vary"] = []string{"Accept, Origin"}
}

func answer(w http.ResponseWriter, status int, value any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	// an & of a URL stays one
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		log.Print(err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	b.Truncate(b.Len() - 1)
	h := w.Header()
	headers(h, "no-store")
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(b.Len())}
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

func refuse(w http.ResponseWriter, err error) {
	f := errInternal
	if !errors.As(err, &f) {
		log.Print(err)
	}
	answer(w, f.status, failureJSON{
		Error:     errorJSON{f.code, f.message},
		Errors:    []string{f.message},
		Images:    []int{},
		RequestID: requestID(),
	})
}

// owner is who asks, "" for anonymous and for names that can't be.
func owner(r *http.Request) string {
	name := r.Header.Get("X-Owner")
	if len(name) > 128 || name == "." || name == ".." {
		return ""
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			c == '.', c == '_', c == '@', c == ':', c == '|', c == '+',
			c == '=', c == '-':
		default:
			return ""
		}
	}
	return name
}
