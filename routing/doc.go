// Package routing decides which agent gets a piece of work.
//
// A [Policy] is a pure function of a [Snapshot]: it does no I/O, reads no clock
// and draws no random numbers but from the source it is given. The engine reads
// the snapshot, asks the policy, and commits the decision under preconditions
// (a bounded counter per agent), so that a decision made on stale facts is made
// anew and capacity holds over many nodes.
//
// [RoundRobin], [LeastBusy] and [Random] are there; [Choose] makes a host's own
// rule into a policy that honours skills, capacity, presence and overflow as
// they do.
//
// # Prefer online
//
// [Queue].PreferOnline gives work to agents who are online. When none is,
// [Queue].WhenNoneOnline decides: a random agent of the queue ([AnyAgent]), or
// wait for one ([Wait]). Work also waits while some are online and all of those
// are at capacity. Work that waits is offered again, in order, whenever an agent
// comes online, frees capacity or joins the queue.
//
// # Testing
//
// Package routingtest runs the properties that every policy must have (fair,
// within capacity, online first) against a host's own.
package routing
