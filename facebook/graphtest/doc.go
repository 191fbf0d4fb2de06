// Package graphtest is Facebook in memory: the Graph API, the login dialog and
// the webhooks of Pages, with the people who write to them and with faults by
// script. It is what a host tests its Pages with, offline.
//
//	fb := graphtest.New(graphtest.Options{})
//	page := fb.AddPage("Shop")
//	app := &facebook.App{ID: fb.AppID(), Secrets: []string{fb.AppSecret()}, VerifyToken: "v", HTTP: fb.Client(), Graph: fb.URL()}
//	fb.Subscribe(app.Webhook(), "v")           // the app's webhook, at app level
//	fb.SubscribePage(page.ID)                  // and that of the Page
//	ann := fb.AddPerson("Ann")
//	ann.Write(page.ID, "How much is it?")      // queues an event
//	err := fb.Deliver(ctx)                     // delivers what is queued
//
// No socket is needed: [Graph.Client] answers in memory, so that all works in
// the virtual time of testing/synctest. [Graph] is also an http.Handler for
// programs that need an address.
//
// # What it is faithful to
//
// Each behaviour names, as "ref 5.1", the section of the platform reference that
// it is taken from, and how sure that is: D stands in Meta's documentation, O was
// observed in several clients, U is unsure. The documentation is at
// https://developers.facebook.com/docs/graph-api and
// https://developers.facebook.com/documentation/business-messaging/messenger-platform.
// What is unsure has a switch in [Doubts], which plays it the other way; a suite
// runs under each of [Variants].
//
// # Faults
//
// [Graph.Fail] scripts answers of the API: any documented error, a lost answer, a
// broken one, a usage header. Queued events can be taken ([Graph.Take]), reordered,
// repeated, split over any number of POSTs ([Graph.Post]) or left to [Graph.Run],
// which delivers and retries them as Facebook does.
package graphtest
