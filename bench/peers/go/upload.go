package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"go.mongodb.org/mongo-driver/v2/bson"
)

const (
	maxSize  = 300 << 20
	maxFiles = 10
	// of an image whose length is not known: the least that S3 takes
	partSize = 5 << 20
	// for what has to be undone, whether the client waits for it or not
	undoTime = 10 * time.Second
)

var parts = sync.Pool{New: func() any {
	b := make([]byte, partSize)
	return &b
}}

// stored is an image whose bytes are in the storage, or may be.
type stored struct {
	id       bson.ObjectID
	key      string
	name     string
	kind     string
	body     *body
	md5      string
	sha256   string
	etag     string
	tags     []string
	uploaded time.Time
}

type dimensions struct {
	Width  int64 `json:"width" bson:"width"`
	Height int64 `json:"height" bson:"height"`
}

type checksums struct {
	MD5    string `json:"md5" bson:"md5"`
	SHA256 string `json:"sha256" bson:"sha256"`
}

type metadata struct {
	Uploaded time.Time `bson:"uploadedAt"`
	From     string    `bson:"uploadedFrom"`
	Tags     []string  `bson:"tags"`
}

type access struct {
	Public bool     `bson:"isPublic"`
	Shared []string `bson:"sharedWith"`
}

type document struct {
	ID         bson.ObjectID `bson:"_id"`
	Owner      string        `bson:"userId"`
	Name       string        `bson:"originalName"`
	Filename   string        `bson:"filename"`
	Type       string        `bson:"contentType"`
	Size       int64         `bson:"size"`
	Dimensions dimensions    `bson:"dimensions"`
	Metadata   metadata      `bson:"metadata"`
	Access     access        `bson:"access"`
	Status     string        `bson:"status"`
	Variants   []string      `bson:"variants"`
	Key        string        `bson:"r2Key"`
	Storage    string        `bson:"storage"`
	Updated    time.Time     `bson:"updatedAt"`
}

type imageJSON struct {
	ID         string     `json:"id"`
	Name       string     `json:"originalName"`
	URL        string     `json:"url"`
	URLExpires string     `json:"urlExpiresAt"`
	Href       string     `json:"href"`
	Size       int64      `json:"size"`
	Type       string     `json:"contentType"`
	Dimensions dimensions `json:"dimensions"`
	Checksums  checksums  `json:"checksums"`
	Expires    *string    `json:"expiresAt"`
}

type createdJSON struct {
	Success   bool        `json:"success"`
	Images    []imageJSON `json:"images"`
	URL       string      `json:"url,omitempty"`
	RequestID string      `json:"requestId"`
}

func (s *service) upload(w http.ResponseWriter, r *http.Request) {
	who := owner(r)
	if who == "" {
		refuse(w, errAnonymous)
		return
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var done []*stored
	var err error
	switch {
	case kind == "multipart/form-data":
		done, err = s.form(r, who)
	case kind == "application/octet-stream", strings.HasPrefix(kind, "image/"):
		done, err = s.raw(r, who)
	default:
		err = errType
	}
	if err == nil {
		for _, one := range done {
			if err = s.ready(r.Context(), one); err != nil {
				break
			}
		}
	}
	if err != nil {
		for _, one := range done {
			s.undo(r.Context(), one)
		}
		refuse(w, err)
		return
	}
	s.created(w, r.Context(), done)
}

func (s *service) raw(r *http.Request, who string) ([]*stored, error) {
	if r.ContentLength > maxSize {
		return nil, errTooLarge
	}
	name := r.URL.Query().Get("filename")
	one, err := s.store(r, r.Body, r.ContentLength, who, name)
	return list(one), err
}

func (s *service) form(r *http.Request, who string) ([]*stored, error) {
	if r.ContentLength > maxFiles*maxSize+1<<20 {
		return nil, errTooLarge
	}
	form, err := r.MultipartReader()
	if err != nil {
		return nil, errForm
	}
	var done []*stored
	var tags []string
	for {
		// what a form holds is one unit: nothing of it is ready before its end
		part, err := form.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return done, errForm
		}
		if part.FileName() == "" {
			value, err := io.ReadAll(io.LimitReader(part, 64<<10))
			if err != nil {
				return done, errForm
			}
			if part.FormName() == "tags" {
				tags = append(tags, string(value))
			}
			continue
		}
		if len(done) == maxFiles {
			return done, errTooMany
		}
		one, err := s.store(r, part, -1, who, part.FileName())
		done = append(done, list(one)...)
		if err != nil {
			return done, err
		}
	}
	if len(done) == 0 {
		return nil, errForm
	}
	for _, one := range done {
		one.tags = tags
	}
	return done, nil
}

func list(one *stored) []*stored {
	if one == nil {
		return nil
	}
	return []*stored{one}
}

// store sends an image to the storage: in one request if its length is known
// or less than a part's.  What it returns beside an error is to be undone.
func (s *service) store(r *http.Request, from io.Reader, size int64,
	who, name string) (*stored, error) {

	b, err := newBody(from, maxSize)
	if err != nil {
		return nil, err
	}
	defer b.free()

	one := &stored{id: bson.NewObjectID(), name: name, body: b,
		kind: "image/" + b.kind, uploaded: time.Now()}
	filename := uuid() + extensions[b.kind]
	one.key = "images/" + filename

	if err = s.insert(r, one, who, filename, max(size, 0)); err != nil {
		return nil, err
	}
	opts := minio.PutObjectOptions{
		ContentType:          one.kind,
		ContentDisposition:   "inline; filename=\"" + strings.Map(plain, name) + "\"",
		DisableContentSha256: true,
	}
	var want string
	if size >= 0 {
		want, err = s.stream(r.Context(), one, size, opts)
	} else {
		want, err = s.hold(r.Context(), one, opts)
	}
	if b.failed != nil {
		return one, b.failed
	}
	if err != nil {
		log.Print(err)
		return one, errStorage
	}
	if one.etag != want {
		log.Printf("the storage answered with another sum for %s", one.key)
		return one, errStorage
	}
	one.sha256 = hex.EncodeToString(b.sha256.Sum(nil))
	return one, nil
}

// plain keeps what may stand between quotes.
func plain(c rune) rune {
	if c < ' ' || c > '~' || c == '"' || c == '\\' {
		return '_'
	}
	return c
}

func (s *service) stream(ctx context.Context, one *stored, size int64,
	opts minio.PutObjectOptions) (want string, err error) {

	info, err := s.s3.PutObject(ctx, s.bucket, one.key, one.body, size, "", "",
		opts)
	if err != nil {
		return "", err
	}
	one.etag = info.ETag
	one.md5 = hex.EncodeToString(one.body.md5.Sum(nil))
	return one.md5, nil
}

// hold reads a part at a time; an image of one part is sent as by stream.
func (s *service) hold(ctx context.Context, one *stored,
	opts minio.PutObjectOptions) (want string, err error) {

	buf := parts.Get().(*[]byte)
	defer parts.Put(buf)

	n, err := io.ReadFull(one.body, *buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		info, err := s.s3.PutObject(ctx, s.bucket, one.key,
			bytes.NewReader((*buf)[:n]), int64(n), "", "", opts)
		if err != nil {
			return "", err
		}
		one.etag = info.ETag
		one.md5 = hex.EncodeToString(one.body.md5.Sum(nil))
		return one.md5, nil
	}
	if err != nil {
		return "", err
	}

	id, err := s.s3.NewMultipartUpload(ctx, s.bucket, one.key, opts)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(
				context.WithoutCancel(ctx), undoTime)
			defer cancel()
			_ = s.s3.AbortMultipartUpload(ctx, s.bucket, one.key, id)
		}
	}()

	var sent []minio.CompletePart
	all := md5.New()
	for n > 0 {
		var sum []byte
		if len(sent) == 0 {
			// of the first part it is known already
			sum = one.body.md5.Sum(nil)
		} else {
			m := md5.Sum((*buf)[:n])
			sum = m[:]
		}
		part, err := s.s3.PutObjectPart(ctx, s.bucket, one.key, id,
			len(sent)+1, bytes.NewReader((*buf)[:n]), int64(n),
			minio.PutObjectPartOptions{DisableContentSha256: true})
		if err != nil {
			return "", err
		}
		all.Write(sum)
		sent = append(sent, minio.CompletePart{
			PartNumber: part.PartNumber, ETag: part.ETag})
		n, err = io.ReadFull(one.body, *buf)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return "", err
		}
	}
	info, err := s.s3.CompleteMultipartUpload(ctx, s.bucket, one.key, id, sent,
		minio.PutObjectOptions{})
	if err != nil {
		return "", err
	}
	one.etag = info.ETag
	one.md5 = hex.EncodeToString(one.body.md5.Sum(nil))
	return fmt.Sprintf("%x-%d", all.Sum(nil), len(sent)), nil
}

func (s *service) insert(r *http.Request, one *stored, who, filename string,
	size int64) error {

	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	_, err := s.images.InsertOne(r.Context(), document{
		ID: one.id, Owner: who, Name: one.name, Filename: filename,
		Type: one.kind, Size: size,
		Dimensions: dimensions{int64(one.body.width), int64(one.body.height)},
		Metadata:   metadata{one.uploaded, from, []string{}},
		Access:     access{false, []string{}},
		Status:     "uploading", Variants: []string{},
		Key: one.key, Storage: "s3", Updated: one.uploaded,
	})
	if err != nil {
		log.Print(err)
		return errMetadata
	}
	return nil
}

func (s *service) ready(ctx context.Context, one *stored) error {
	set := bson.D{
		{Key: "status", Value: "ready"},
		{Key: "size", Value: one.body.size},
		{Key: "checksums", Value: checksums{one.md5, one.sha256}},
		{Key: "etag", Value: one.etag},
	}
	if one.tags != nil {
		set = append(set, bson.E{Key: "metadata.tags", Value: one.tags})
	}
	done, err := s.images.UpdateOne(ctx,
		bson.D{{Key: "_id", Value: one.id}, {Key: "status", Value: "uploading"}},
		bson.D{{Key: "$set", Value: set},
			{Key: "$currentDate", Value: bson.D{{Key: "updatedAt", Value: true}}}})
	if err != nil || done.MatchedCount != 1 {
		log.Printf("%s did not become ready: %v", one.id.Hex(), err)
		return errMetadata
	}
	return nil
}

// undo deletes an object once a majority knows that its image failed.
func (s *service) undo(ctx context.Context, one *stored) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	_, err := s.images.UpdateOne(ctx, bson.D{{Key: "_id", Value: one.id}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "status", Value: "error"}}}})
	if err == nil {
		err = s.s3.RemoveObject(ctx, s.bucket, one.key,
			minio.RemoveObjectOptions{})
	}
	if err != nil {
		log.Print(err)
	}
}

func (s *service) created(w http.ResponseWriter, ctx context.Context,
	done []*stored) {

	out := createdJSON{Success: true, RequestID: requestID()}
	for _, one := range done {
		expires := time.Now().Add(urlLife).UTC()
		url, err := s.s3.PresignedGetObject(ctx, s.bucket, one.key, urlLife,
			nil)
		if err != nil {
			refuse(w, err)
			return
		}
		out.Images = append(out.Images, imageJSON{
			ID: one.id.Hex(), Name: one.name, URL: url.String(),
			URLExpires: expires.Format("2006-01-02T15:04:05.000Z"),
			Href:       "/api/" + one.id.Hex(),
			Size:       one.body.size, Type: one.kind,
			Dimensions: dimensions{int64(one.body.width), int64(one.body.height)},
			Checksums:  checksums{one.md5, one.sha256},
		})
	}
	if len(done) == 1 {
		out.URL = out.Images[0].URL
		w.Header()["Location"] = []string{out.Images[0].Href}
	}
	answer(w, http.StatusCreated, out)
}

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
