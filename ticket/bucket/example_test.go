package bucket_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/memblob"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/bucket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}

// What is large goes into the bucket, and only its id into the store: here a
// picture, and the message as it came.
func Example() {
	ctx := context.Background()
	objects, err := blob.OpenBucket(ctx, "mem://") // "s3://mail?region=eu-central-1", with its driver imported
	check(err)
	objects = blob.PrefixedBucket(objects, "anteroom/") // takes the other over
	defer objects.Close()
	network := channeltest.NewNetwork() // in the place of mail
	desk, err := ticket.New(ticket.Config{
		Store:      memstore.New().Portal("main"),
		Blobs:      bucket.New(objects),
		Connectors: []channel.Connector{network},
	})
	check(err)
	receive(ctx, desk, network)

	_, picture, err := desk.OpenAttachment(ctx, only(ctx, desk).Attachments[0].ID)
	check(err)
	defer picture.Close()
	n, err := io.Copy(io.Discard, picture)
	fmt.Println("bytes:", n, err)
	list := objects.List(nil)
	for o, err := list.Next(ctx); err == nil; o, err = list.Next(ctx) {
		fmt.Println("in the bucket:", o.Size)
	}
	// Unordered output:
	// bytes: 1048576 <nil>
	// in the bucket: 1048576
	// in the bucket: 1398825
}

// A portal moves, to another store and from one bucket to another: Export reads
// both of the old ones, and Import writes both of the new ones.
func Example_move() {
	ctx := context.Background()
	open := func() (ticket.Store, ticket.Blobs) {
		objects, err := blob.OpenBucket(ctx, "mem://")
		check(err)
		return memstore.New().Portal("main"), bucket.New(objects)
	}
	store, blobs := open()
	network := channeltest.NewNetwork()
	desk, err := ticket.New(ticket.Config{Store: store, Blobs: blobs, Connectors: []channel.Connector{network}})
	check(err)
	receive(ctx, desk, network)

	check(ticket.Retire(ctx, store, time.Now()))
	var export bytes.Buffer // a file, in earnest
	_, err = ticket.Export(ctx, ticket.ExportConfig{Store: store, Blobs: blobs}, &export)
	check(err)
	store, blobs = open()
	moved, err := ticket.Import(ctx, ticket.ImportConfig{Store: store, Blobs: blobs}, &export)
	check(err)
	fmt.Println(moved.Rows[ticket.TableMessages], "message,", moved.Blobs, "blobs,", moved.BlobBytes, "bytes")
	// Output: 1 message, 2 blobs, 2447401 bytes
}

// receive lets a customer send a picture of a megabyte.
func receive(ctx context.Context, desk *ticket.Desk, network *channeltest.Network) {
	_, err := desk.Connect(ctx, channeltest.MemoryAccount{Address: "help@example.com"}, ticket.Settings{})
	check(err)
	running, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- desk.Run(running) }()
	_, err = network.Write(ctx, "help@example.com", channel.Message{
		From: channel.Party{Address: "mai@example.net"}, Text: "It looks like this",
		Attachments: []channel.Attachment{{Name: "picture.jpg", Type: "image/jpeg", Size: 1 << 20, Body: channel.Bytes(make([]byte, 1<<20))}},
	})
	check(err)
	stop()
	check(<-done)
}

// only returns the one message that there is.
func only(ctx context.Context, desk *ticket.Desk) *ticket.Message {
	list, _, err := desk.Conversations(ctx, ticket.ConversationFilter{}, ticket.Page{})
	check(err)
	messages, _, err := desk.Timeline(ctx, ticket.MessageFilter{Conversation: list[0].ID}, ticket.Page{})
	check(err)
	return messages[0]
}
