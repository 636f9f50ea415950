package main

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"hash"
	"image"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"sync"
)

const (
	headSize  = 32 << 10
	headMost  = 1 << 20
	maxPixels = 100_000_000
)

var heads = sync.Pool{New: func() any {
	b := make([]byte, headSize)
	return &b
}}

// body is an image on its way: its first bytes are looked at, and all of it
// is hashed while the client of the storage reads it.
type body struct {
	from          io.Reader
	buf           *[]byte
	head          []byte
	most          int64
	size          int64
	md5           hash.Hash
	sha256        hash.Hash
	kind          string
	width, height int
	// why reading ended early; the storage's client wraps it
	failed error
}

var extensions = map[string]string{"jpeg": ".jpg", "png": ".png", "gif": ".gif"}

// newBody reads as much as it takes to know what the image is.
func newBody(from io.Reader, most int64) (*body, error) {
	b := &body{from: from, most: most, md5: md5.New(), sha256: sha256.New(),
		buf: heads.Get().(*[]byte)}
	buf := *b.buf
	n, err := io.ReadFull(from, buf)
	for {
		whole := err != nil
		if whole && err != io.EOF && err != io.ErrUnexpectedEOF {
			b.free()
			return nil, errLength
		}
		c, kind, bad := image.DecodeConfig(bytes.NewReader(buf[:n]))
		if bad == nil {
			b.kind, b.width, b.height = kind, c.Width, c.Height
			break
		}
		// what a camera writes before the dimensions may be long
		if whole || n >= headMost || !errors.Is(bad, io.ErrUnexpectedEOF) {
			b.free()
			return nil, errType
		}
		buf = append(buf[:n], make([]byte, n)...)
		var more int
		more, err = io.ReadFull(from, buf[n:])
		n += more
	}
	if int64(b.width)*int64(b.height) > maxPixels {
		b.free()
		return nil, errPixels
	}
	b.head = buf[:n]
	return b, nil
}

func (b *body) free() {
	heads.Put(b.buf)
	b.buf, b.head = nil, nil
}

func (b *body) Read(p []byte) (n int, err error) {
	if len(b.head) > 0 {
		n = copy(p, b.head)
		b.head = b.head[n:]
	} else {
		n, err = b.from.Read(p)
	}
	b.size += int64(n)
	if b.size > b.most {
		b.failed = errTooLarge
		return 0, b.failed
	}
	b.md5.Write(p[:n])
	b.sha256.Write(p[:n])
	if err != nil && err != io.EOF {
		b.failed = errLength
	}
	return n, err
}
