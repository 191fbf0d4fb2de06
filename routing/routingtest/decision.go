package routingtest

import (
	"fmt"
	"slices"

	"github.com/anteroom/anteroom/routing"
)

// each checks rule on every situation and reports the first that breaks it.
func each(rule func(s routing.Snapshot, d routing.Decision) string) func(routing.Policy) string {
	return func(p routing.Policy) string {
		for n := range situations {
			d, broken := ask(p, situation(n))
			if broken == "" {
				broken = rule(situation(n), d)
			}
			if broken != "" {
				return fmt.Sprintf("%s; decided %s for %s", broken, describeDecision(d), describe(situation(n)))
			}
		}
		return ""
	}
}

// ask returns the decision, or what went wrong if the policy panics.
func ask(p routing.Policy, s routing.Snapshot) (d routing.Decision, broken string) {
	defer func() {
		if r := recover(); r != nil {
			broken = fmt.Sprintf("panic: %v", r)
		}
	}()
	return p.Decide(s), ""
}

// given returns the agent who was given the work, if one of the queue was.
func given(s routing.Snapshot, d routing.Decision) (routing.Candidate, bool) {
	i := slices.IndexFunc(s.Agents, func(c routing.Candidate) bool { return c.ID == d.Agent })
	if d.Agent == "" || i < 0 {
		return routing.Candidate{}, false
	}
	return s.Agents[i], true
}

func decidesOne(_ routing.Snapshot, d routing.Decision) string {
	n := 0
	for _, set := range []bool{d.Agent != "", d.Queue != "", d.Wait} {
		if set {
			n++
		}
	}
	if n != 1 {
		return fmt.Sprintf("%d of agent, queue and wait are set", n)
	}
	if !d.Wait && !d.Until.IsZero() {
		return "Until is set without Wait"
	}
	return ""
}

func explains(_ routing.Snapshot, d routing.Decision) string {
	if d.Reason == "" {
		return "Reason is empty"
	}
	return ""
}

func queueOnly(s routing.Snapshot, d routing.Decision) string {
	if _, ok := given(s, d); d.Agent != "" && !ok {
		return fmt.Sprintf("%q is no agent of the queue", d.Agent)
	}
	return ""
}

func capacity(s routing.Snapshot, d routing.Decision) string {
	if c, ok := given(s, d); ok && !c.HasRoom() {
		return fmt.Sprintf("%q has no room", c.ID)
	}
	return ""
}

func skills(s routing.Snapshot, d routing.Decision) string {
	if c, ok := given(s, d); ok && !hasSkills(c, s.Queue) {
		return fmt.Sprintf("%q lacks a skill", c.ID)
	}
	return ""
}

func onlineFirst(s routing.Snapshot, d routing.Decision) string {
	c, ok := given(s, d)
	if !ok || !s.Queue.PreferOnline || c.Online() {
		return ""
	}
	if online := where(skilled(s), routing.Candidate.Online); len(online) > 0 {
		return fmt.Sprintf("%q is %s while %q is online", c.ID, c.Presence, online[0].ID)
	}
	return ""
}

func waitsOffline(s routing.Snapshot, d routing.Decision) string {
	c, ok := given(s, d)
	if ok && s.Queue.PreferOnline && s.Queue.WhenNoneOnline == routing.Wait && !c.Online() {
		return fmt.Sprintf("%q is %s", c.ID, c.Presence)
	}
	return ""
}

func anyAgent(s routing.Snapshot, d routing.Decision) string {
	if !s.Queue.PreferOnline || s.Queue.WhenNoneOnline == routing.Wait || d.Agent != "" {
		return ""
	}
	could := skilled(s)
	if len(where(could, routing.Candidate.Online)) > 0 {
		return ""
	}
	if room := where(could, routing.Candidate.HasRoom); len(room) > 0 {
		return fmt.Sprintf("none is online and %q has room", room[0].ID)
	}
	return ""
}

func prompt(s routing.Snapshot, d routing.Decision) string {
	if d.Agent != "" {
		return ""
	}
	free := where(where(skilled(s), routing.Candidate.HasRoom), routing.Candidate.Online)
	if len(free) > 0 {
		return fmt.Sprintf("%q is online and has room", free[0].ID)
	}
	return ""
}

func overflowsOnly(s routing.Snapshot, d routing.Decision) string {
	switch {
	case d.Queue == "":
		return ""
	case s.Queue.Overflow == "" || d.Queue != s.Queue.Overflow:
		return fmt.Sprintf("%q is not the overflow queue", d.Queue)
	case s.Now.Before(s.Item.WaitingSince.Add(s.Queue.OverflowAfter)):
		return fmt.Sprintf("it waited %v only", s.Now.Sub(s.Item.WaitingSince))
	}
	return ""
}

func overflowsDue(s routing.Snapshot, d routing.Decision) string {
	if d.Wait && s.Queue.Overflow != "" && !s.Now.Before(s.Item.WaitingSince.Add(s.Queue.OverflowAfter)) {
		return fmt.Sprintf("it waited %v", s.Now.Sub(s.Item.WaitingSince))
	}
	return ""
}

func wakes(s routing.Snapshot, d routing.Decision) string {
	if !d.Wait || s.Queue.Overflow == "" {
		return ""
	}
	due := s.Item.WaitingSince.Add(s.Queue.OverflowAfter)
	if s.Now.Before(due) && (d.Until.IsZero() || d.Until.After(due)) {
		return fmt.Sprintf("the overflow is due at %v", due)
	}
	return ""
}
