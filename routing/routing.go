package routing

import (
	"encoding/json"
	"math/rand/v2"
	"time"
)

// AgentID is the host's id of an agent.
type AgentID string

// QueueID is the host's id of a queue.
type QueueID string

// Agent works tickets. The host owns its agents; the ids are the host's.
type Agent struct {
	ID    AgentID `json:"id"`
	Name  string  `json:"name"`
	Email string  `json:"email,omitempty"` // where notices go; empty: none are sent by email
	// Capacity is how many open tickets the agent is given automatically at
	// the most. 0 means no limit; assignment by a person is never limited.
	Capacity int      `json:"capacity,omitempty"`
	Skills   []string `json:"skills,omitempty"`
}

// WhenNoneOnline says what happens to work of a queue that prefers online
// agents when none of them is online.
type WhenNoneOnline string

// Values of WhenNoneOnline. Empty means AnyAgent, as in the product documents.
const (
	AnyAgent WhenNoneOnline = "random" // a random agent of the queue
	Wait     WhenNoneOnline = "wait"   // until one comes online
)

// Queue is a group of agents that work is given to.
type Queue struct {
	ID     QueueID   `json:"id"`
	Name   string    `json:"name"`
	Agents []AgentID `json:"agents"`
	// Policy names one of the host's policies; empty means round robin.
	Policy string `json:"policy,omitempty"`
	// PreferOnline and WhenNoneOnline are defaults; a channel may override them.
	PreferOnline   bool           `json:"prefer_online,omitempty"`
	WhenNoneOnline WhenNoneOnline `json:"when_none_online,omitempty"`
	// Skills that an agent must have, all of them. Empty: any agent.
	Skills []string `json:"skills,omitempty"`
	// Overflow is the queue that work moves to after OverflowAfter without an
	// agent. Empty or zero: never.
	Overflow      QueueID       `json:"overflow,omitempty"`
	OverflowAfter time.Duration `json:"overflow_after,omitempty"`
	// Hours, if set, is the host's description of the business hours; the
	// engine hands it to policies and otherwise leaves it alone.
	Hours json.RawMessage `json:"hours,omitempty"`
}

// PresenceState is what an agent says of themselves.
type PresenceState string

// Presence states. Only Online counts as online.
const (
	Online  PresenceState = "online"
	Away    PresenceState = "away"
	Offline PresenceState = "offline"
)

// Presence is an agent's state with a time to live.
type Presence struct {
	State PresenceState `json:"state"`
	Since time.Time     `json:"since"`
	// Until is when the state lapses into Offline unless it is renewed. Zero
	// means never.
	Until time.Time `json:"until,omitzero"`
}

// At returns the state at the given time.
func (p Presence) At(now time.Time) PresenceState {
	if p.State == "" || (!p.Until.IsZero() && !now.Before(p.Until)) {
		return Offline
	}
	return p.State
}

// Candidate is an agent of the queue, as the policy sees them.
type Candidate struct {
	Agent
	Presence PresenceState
	Load     int // open tickets and conversations owned
	// LastAssigned is when the agent was last given work automatically; zero
	// means never.
	LastAssigned time.Time
}

// Online reports whether the candidate is online.
func (c Candidate) Online() bool { return c.Presence == Online }

// HasRoom reports whether the candidate is below capacity.
func (c Candidate) HasRoom() bool { return c.Capacity <= 0 || c.Load < c.Capacity }

// Item is the work to give away.
type Item struct {
	Ticket       string // its id; empty for a conversation without a ticket
	Conversation string
	Channel      string
	Contact      string
	Subject      string
	Priority     string
	Tags         []string
	WaitingSince time.Time
	// Previous is the agent who had it before, if any.
	Previous AgentID
}

// Snapshot is all that a policy may look at.
type Snapshot struct {
	Item   Item
	Queue  Queue       // with the channel's overrides applied
	Agents []Candidate // the queue's agents that exist, in the queue's order
	Now    time.Time
	Rand   *rand.Rand
}

// Decision is what a policy wants. Exactly one of Agent, Queue and Wait is set.
type Decision struct {
	Agent AgentID // give it to this agent
	Queue QueueID // move it to this queue
	Wait  bool    // leave it; it is offered again when something changes,
	// and at Until at the latest if that is set.
	Until  time.Time
	Reason string // for people, such as "least busy of 3 online agents (2 open)"
}

// Policy decides.
type Policy interface {
	Decide(s Snapshot) Decision
}

// PolicyFunc adapts a function to a [Policy].
type PolicyFunc func(s Snapshot) Decision

// Decide calls f.
func (f PolicyFunc) Decide(s Snapshot) Decision { return f(s) }
