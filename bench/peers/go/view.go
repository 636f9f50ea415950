package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	// what a URL lives, and for how much of that a client may keep it
	urlLife   = 3900 * time.Second
	cacheLife = "private, max-age=300"
)

// found is what a redirect needs to know of an image.
type found struct {
	Owner  string `bson:"userId"`
	Key    string `bson:"r2Key"`
	Status string `bson:"status"`
	Access struct {
		Public  bool       `bson:"isPublic"`
		Shared  []string   `bson:"sharedWith"`
		Expires *time.Time `bson:"expiresAt"`
	} `bson:"access"`
	Deleted *time.Time    `bson:"deletedAt"`
	Blocked bson.RawValue `bson:"blocked"`
}

var projection = options.FindOne().SetProjection(bson.D{
	{Key: "userId", Value: 1}, {Key: "r2Key", Value: 1},
	{Key: "status", Value: 1}, {Key: "access", Value: 1},
	{Key: "deletedAt", Value: 1}, {Key: "blocked", Value: 1},
	{Key: "_id", Value: 0},
})

func (s *service) find(ctx context.Context, id bson.ObjectID) (*found, error) {
	var f found
	err := s.images.FindOne(ctx, bson.D{{Key: "_id", Value: id}},
		projection).Decode(&f)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, errNotFound
	}
	if err != nil {
		// a client that is gone is no failure of the database
		if ctx.Err() == nil {
			log.Print(err)
		}
		return nil, errMetadata
	}
	return &f, nil
}

func (f *found) allows(who string) error {
	switch {
	case !f.Access.Public && (who == "" || who != f.Owner &&
		!slices.Contains(f.Access.Shared, who)):
		return errNotFound
	case f.Status == "error" || f.Deleted != nil:
		return errNotFound
	case !f.Blocked.IsZero():
		return errBlocked
	case f.Access.Expires != nil && !time.Now().Before(*f.Access.Expires):
		return errExpired
	case f.Status != "ready":
		return errNotReady
	}
	return nil
}

func (s *service) view(w http.ResponseWriter, r *http.Request) {
	id, err := bson.ObjectIDFromHex(r.PathValue("id"))
	if err != nil {
		refuse(w, errNotFound)
		return
	}
	f, err := s.find(r.Context(), id)
	if err == nil {
		err = f.allows(owner(r))
	}
	if err != nil {
		refuse(w, err)
		return
	}
	url, err := s.s3.PresignedGetObject(r.Context(), s.bucket, f.Key, urlLife,
		nil)
	if err != nil {
		refuse(w, err)
		return
	}
	h := w.Header()
	headers(h, cacheLife)
	h["Location"] = []string{url.String()}
	h["Content-Length"] = []string{"0"}
	w.WriteHeader(http.StatusFound)
}
