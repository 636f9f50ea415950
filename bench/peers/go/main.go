// The service that somebody would write in Go in place of the module: uploads
// to S3 with a document in MongoDB, and redirects to signed URLs.
//
//	images PORT DATABASE
//
// MONGODB_URI, S3_ENDPOINT, S3_REGION, S3_BUCKET, S3_ACCESS and S3_SECRET name
// what it works with.
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

const dbTimeout = 3 * time.Second

type service struct {
	images *mongo.Collection
	s3     *minio.Core
	bucket string
}

func storage() (*minio.Core, error) {
	endpoint, err := url.Parse(os.Getenv("S3_ENDPOINT"))
	if err != nil {
		return nil, err
	}
	return minio.NewCore(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(
			os.Getenv("S3_ACCESS"), os.Getenv("S3_SECRET"), ""),
		Secure:       endpoint.Scheme == "https",
		Region:       os.Getenv("S3_REGION"),
		BucketLookup: minio.BucketLookupPath,
		// as many idle connections as uploads at a time: the default of two
		// would open a new one for nearly every upload
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			MaxIdleConns:          256,
			MaxIdleConnsPerHost:   256,
			IdleConnTimeout:       time.Minute,
			ResponseHeaderTimeout: time.Minute,
			TLSHandshakeTimeout:   5 * time.Second,
			DisableCompression:    true,
		},
	})
}

func database(name string) (*mongo.Client, *mongo.Collection, error) {
	client, err := mongo.Connect(options.Client().
		ApplyURI(os.Getenv("MONGODB_URI")).
		SetReadConcern(readconcern.Majority()).
		SetWriteConcern(writeconcern.Majority()).
		SetTimeout(dbTimeout))
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), dbTimeout)
	defer cancel()
	return client, client.Database(name).Collection("images"),
		client.Ping(ctx, nil)
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: images PORT DATABASE")
	}
	s3, err := storage()
	if err != nil {
		log.Fatal(err)
	}
	client, images, err := database(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}

	s := &service{images: images, s3: s3, bucket: os.Getenv("S3_BUCKET")}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /api/upload", s.upload)
	mux.HandleFunc("POST /api/upload", s.upload)
	mux.HandleFunc("GET /api/{id}/view", s.view)

	server := &http.Server{
		Addr:              net.JoinHostPort("127.0.0.1", os.Args[1]),
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
	}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		_ = client.Disconnect(ctx)
	}()

	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
