package pgstore_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/dirblob"
	"github.com/anteroom/anteroom/ticket/pgstore"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}

// open makes a desk on the database, as each node of a portal does when it starts.
func open(ctx context.Context, portal, node string) (*pgstore.Backend, *ticket.Desk, *ticket.Channel) {
	db, err := pgstore.Open(ctx, os.Getenv("DATABASE_URL")) // such as postgres://desk@db.example.com/desk
	check(err)
	desk, err := ticket.New(ticket.Config{
		Store: db.Portal(portal), Portal: portal, Node: node, Key: []byte(os.Getenv("ANTEROOM_KEY")), // the same on all nodes
		Connectors: []channel.Connector{account.Connector{}},
	})
	check(err)
	check(desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An"}))
	ch, err := desk.Ensure(ctx, account.Account{
		Address: "help@example.com", Password: os.Getenv("SMTP_PASSWORD"), SMTP: account.Server{Host: "smtp.example.com"},
	}, ticket.Settings{})
	check(err)
	return db, desk, ch
}

// Two nodes share a portal by its database alone. What one writes the other sees
// in a moment, and when one ends the other goes on with all work.
func Example_nodes() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	one, desk, ch := open(ctx, "main", "one")
	two, other, _ := open(ctx, "main", "two")
	running.Go(func() { check(desk.Run(ctx)) })
	running.Go(func() { check(other.Run(ctx)) })

	_, err := desk.Start(ctx, ticket.Opening{Channel: ch.ID, By: "an", To: []channel.Party{{Address: "mai@example.net"}}, Subject: "Your order"})
	check(err)
	for event, err := range other.Follow(ctx, 0) {
		check(err)
		if event.Type == ticket.EventTicketCreated {
			t, err := other.Ticket(ctx, event.Ticket)
			check(err)
			fmt.Println("two sees:", t.Subject)
			break
		}
	}

	stop() // as SIGTERM would
	running.Wait()
	check(one.Close())
	check(two.Close())
	// It prints: two sees: Your order
}

// A ticket and the host's own row are written together, or not at all.
func ExampleWithTx() {
	ctx := context.Background()
	db, desk, ch := open(ctx, "shop", "one")
	defer db.Close()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL")) // the host's own
	check(err)
	defer pool.Close()
	_, err = pool.Exec(ctx, "CREATE TABLE complaints (order_number int PRIMARY KEY, ticket text NOT NULL)")
	check(err)

	complain := func(order int) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			opened, err := desk.Start(pgstore.WithTx(ctx, tx), ticket.Opening{
				Channel: ch.ID, By: "an", To: []channel.Party{{Address: "mai@example.net"}}, Subject: fmt.Sprint("Order ", order),
			})
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "INSERT INTO complaints VALUES ($1, $2)", order, opened.Ticket.ID)
			return err
		})
	}
	fmt.Println(complain(7))
	fmt.Println("refused:", complain(7) != nil) // by the primary key, and no ticket is left
	tickets, _, err := desk.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{})
	check(err)
	fmt.Println(len(tickets), tickets[0].Subject)
	// It prints:
	// <nil>
	// refused: true
	// 1 Order 7
}

// A portal moves from SQLite and a folder to PostgreSQL, with its ids. All its
// processes have been stopped.
func Example_move() {
	ctx := context.Background()
	folder := os.Getenv("OLD_DATA")
	old, err := sqlitestore.Open(filepath.Join(folder, "anteroom.db"))
	check(err)
	defer old.Close()
	oldBlobs, err := dirblob.Open(filepath.Join(folder, "blobs"))
	check(err)

	check(ticket.Retire(ctx, old.Portal("main"), time.Now())) // ErrInUse: something still runs
	var export bytes.Buffer                                   // a file, in earnest
	_, err = ticket.Export(ctx, ticket.ExportConfig{Store: old.Portal("main"), Blobs: oldBlobs}, &export)
	check(err)

	db, err := pgstore.Open(ctx, os.Getenv("DATABASE_URL"))
	check(err)
	defer db.Close()
	blobs, err := dirblob.Open(os.Getenv("NEW_BLOBS")) // or bucket.New, for an object store
	check(err)
	moved, err := ticket.Import(ctx, ticket.ImportConfig{Store: db.Portal("moved"), Blobs: blobs}, &export)
	check(err)
	fmt.Println("events:", moved.Rows[ticket.TableEvents])

	// It runs there with the key that it had.
	desk, err := ticket.New(ticket.Config{Store: db.Portal("moved"), Blobs: blobs, Key: []byte(os.Getenv("ANTEROOM_KEY"))})
	check(err)
	agents, err := desk.Agents(ctx)
	check(err)
	fmt.Println("agent:", agents[0].Name)
	// It prints:
	// events: 1
	// agent: An
}

// The password is a token that lasts some minutes, as managed databases have it,
// and the numbers of the connections go to the host's metrics.
func ExampleConfigure() {
	token := func(context.Context) (string, error) { return os.Getenv("DATABASE_TOKEN"), nil } // of the cloud's library
	db, err := pgstore.Open(context.Background(), "postgres://desk@db.example.com/desk?sslmode=verify-full",
		pgstore.Configure(func(c *pgxpool.Config) {
			c.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) (err error) {
				c.Password, err = token(ctx)
				return err
			}
		}))
	check(err)
	defer db.Close()
	fmt.Println("connections in use:", db.Stat().AcquiredConns(), "of", db.Stat().MaxConns())
}
