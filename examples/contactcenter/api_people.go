package main

import (
	"net/http"
	"time"

	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

type agentJSON struct {
	ID       routing.AgentID `json:"id"`
	Name     string          `json:"name"`
	Email    string          `json:"email"`
	Capacity int             `json:"capacity"`
	Skills   []string        `json:"skills"`
	Presence presenceJSON    `json:"presence"`
	Load     int             `json:"load"`
}

type presenceJSON struct {
	State string     `json:"state"`
	Since *time.Time `json:"since"`
}

func showAgent(a ticket.AgentStatus) agentJSON {
	return agentJSON{ID: a.ID, Name: a.Name, Email: a.Email, Capacity: a.Capacity, Skills: list(a.Skills), Load: a.Load,
		Presence: presenceJSON{State: string(a.Presence.State), Since: stamp(a.Presence.Since)}}
}

func (s *server) getAgents(w http.ResponseWriter, r *http.Request) error {
	agents, err := s.desk.Agents(r.Context())
	if err != nil {
		return err
	}
	out := []agentJSON{}
	for _, a := range agents {
		out = append(out, showAgent(a))
	}
	return answer(w, http.StatusOK, map[string]any{"agents": out})
}

// agentIn is an agent as it is given.
type agentIn struct {
	Name     string   `json:"name"`
	Email    string   `json:"email"`
	Capacity int      `json:"capacity"`
	Skills   []string `json:"skills"`
	Password *string  `json:"password"`
}

const (
	maxSkills      = 100
	maxSkillLength = 100
	maxCapacity    = 1_000_000
)

func (in agentIn) agent(id string) (routing.Agent, error) {
	a := routing.Agent{ID: routing.AgentID(id), Name: in.Name, Email: in.Email, Capacity: in.Capacity, Skills: in.Skills}
	if a.Name == "" {
		a.Name = id
	}
	if a.Capacity > maxCapacity {
		return a, badField("capacity", "must be at most %d", maxCapacity)
	}
	return a, checkWords("skills", in.Skills)
}

// checkWords checks a list of short names.
func checkWords(field string, words []string) error {
	if len(words) > maxSkills {
		return badField(field, "must be at most %d", maxSkills)
	}
	for _, word := range words {
		if word == "" || len(word) > maxSkillLength || word != oneLineString(word) {
			return badField(field, "must be lines of 1 to %d bytes", maxSkillLength)
		}
	}
	return nil
}

func (s *server) putAgent(w http.ResponseWriter, r *http.Request) error {
	var in agentIn
	if err := decode(r, &in); err != nil {
		return err
	}
	a, err := in.agent(r.PathValue("id"))
	if err != nil {
		return err
	}
	if in.Password != nil {
		if err := checkPassword(*in.Password); err != nil {
			return err
		}
	}
	if err := s.desk.PutAgent(r.Context(), a); err != nil {
		return err
	}
	if in.Password != nil {
		if err := s.logins.set(r.Context(), a.ID, *in.Password); err != nil {
			return err
		}
	}
	return s.answerAgent(w, r, a.ID)
}

func (s *server) answerAgent(w http.ResponseWriter, r *http.Request, id routing.AgentID) error {
	agents, err := s.desk.Agents(r.Context())
	if err != nil {
		return err
	}
	for _, a := range agents {
		if a.ID == id {
			return answer(w, http.StatusOK, showAgent(a))
		}
	}
	return ticket.ErrNotFound
}

func (s *server) putPresence(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		State string `json:"state"`
		TTL   string `json:"ttl"` // a duration after which it lapses
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	ttl := time.Duration(0)
	if in.TTL != "" {
		var err error
		if ttl, err = parseDuration("ttl", in.TTL); err != nil {
			return err
		}
	}
	id := routing.AgentID(r.PathValue("id"))
	if sess := sessionOf(r); sess != nil && sess.agent != id {
		return &apiError{status: http.StatusForbidden, Code: "forbidden", Message: "you can only say how you are yourself"}
	}
	if err := s.desk.SetPresence(r.Context(), id, routing.PresenceState(in.State), ttl); err != nil {
		return err
	}
	return s.answerAgent(w, r, id)
}

type queueJSON struct {
	ID             routing.QueueID   `json:"id"`
	Name           string            `json:"name"`
	Agents         []routing.AgentID `json:"agents"`
	Policy         string            `json:"policy"`
	PreferOnline   bool              `json:"prefer_online"`
	WhenNoneOnline string            `json:"when_none_online"`
	Skills         []string          `json:"skills"`
}

func showQueue(q routing.Queue) queueJSON {
	out := queueJSON{ID: q.ID, Name: q.Name, Agents: list(q.Agents), Policy: q.Policy, PreferOnline: q.PreferOnline,
		WhenNoneOnline: string(q.WhenNoneOnline), Skills: list(q.Skills)}
	if out.Policy == "" {
		out.Policy = "round_robin"
	}
	if out.WhenNoneOnline == "" {
		out.WhenNoneOnline = string(routing.AnyAgent)
	}
	return out
}

func (s *server) getQueues(w http.ResponseWriter, r *http.Request) error {
	queues, err := s.desk.Queues(r.Context())
	if err != nil {
		return err
	}
	out := []queueJSON{}
	for _, q := range queues {
		out = append(out, showQueue(q))
	}
	return answer(w, http.StatusOK, map[string]any{"queues": out})
}

// queueIn is a queue as it is given.
type queueIn struct {
	Name           string            `json:"name"`
	Agents         []routing.AgentID `json:"agents"`
	Policy         string            `json:"policy"`
	PreferOnline   bool              `json:"prefer_online"`
	WhenNoneOnline string            `json:"when_none_online"`
	Skills         []string          `json:"skills"`
}

// maxQueueAgents is how many agents a queue can have.
const maxQueueAgents = 10_000

func (in queueIn) queue(id string) (routing.Queue, error) {
	q := routing.Queue{ID: routing.QueueID(id), Name: in.Name, Agents: in.Agents, Policy: in.Policy, PreferOnline: in.PreferOnline,
		WhenNoneOnline: routing.WhenNoneOnline(in.WhenNoneOnline), Skills: in.Skills}
	if q.Name == "" {
		q.Name = id
	}
	if len(in.Agents) > maxQueueAgents {
		return q, badField("agents", "must be at most %d", maxQueueAgents)
	}
	return q, checkWords("skills", in.Skills)
}

func (s *server) putQueue(w http.ResponseWriter, r *http.Request) error {
	var in queueIn
	if err := decode(r, &in); err != nil {
		return err
	}
	q, err := in.queue(r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := s.desk.PutQueue(r.Context(), q); err != nil {
		return err
	}
	return answer(w, http.StatusOK, showQueue(q))
}
