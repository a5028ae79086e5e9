package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"github.com/matrix-org/gomatrixserverlib"
)

// A room and what is asked of it: the events in the order of their making, the numbers
// of the rejected ones, states as lists of numbers, checks of an event by a state, and
// merges of states.
type room struct {
	Version  gomatrixserverlib.RoomVersion `json:"room_version"`
	IDs      []string                      `json:"ids"`
	PDUs     []json.RawMessage             `json:"pdus"`
	Rejected []int                         `json:"rejected"`
	States   [][]int                       `json:"states"`
	Checks   [][2]int                      `json:"checks"`
	Merges   [][]int                       `json:"merges"`
}

// The event IDs that the library computes, for each check why the event is not allowed
// (empty: it is), and for each merge the sorted numbers of the events of the resolved
// state, or why there is none.
type roomAnswer struct {
	IDs      []string `json:"ids"`
	Verdicts []string `json:"verdicts"`
	Merges   []any    `json:"merges"`
}

// knownRoom is a room whose events carry the IDs that they were asked with, so that an
// ID which the library computes otherwise does not separate an event from its citations.
type knownRoom struct {
	room
	impl    gomatrixserverlib.IRoomVersion
	events  []gomatrixserverlib.PDU
	numbers map[string]int
}

func answerToRoom(line []byte) (any, error) {
	var asked room
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	impl, err := gomatrixserverlib.GetRoomVersion(asked.Version)
	if err != nil {
		return nil, err
	}
	known := knownRoom{room: asked, impl: impl, numbers: map[string]int{}}
	for number, id := range asked.IDs {
		event, err := impl.NewEventFromTrustedJSONWithEventID(id, asked.PDUs[number], false)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		known.events = append(known.events, event)
		known.numbers[id] = number
	}
	answer := roomAnswer{Verdicts: []string{}, Merges: []any{}}
	for _, pdu := range asked.PDUs {
		answer.IDs = append(answer.IDs, known.id(pdu))
	}
	for _, check := range asked.Checks {
		answer.Verdicts = append(answer.Verdicts, known.verdict(check[0], check[1]))
	}
	for _, merge := range asked.Merges {
		answer.Merges = append(answer.Merges, known.resolve(merge))
	}
	return answer, nil
}

// id is the event ID that the library itself computes.
func (r *knownRoom) id(pdu json.RawMessage) string {
	event, err := r.impl.NewEventFromUntrustedJSON(pdu)
	if err != nil {
		return "crash: " + err.Error()
	}
	return event.EventID()
}

// verdict says why an event is not allowed by a state.
func (r *knownRoom) verdict(number int, state int) (why string) {
	defer func() {
		if problem := recover(); problem != nil {
			why = fmt.Sprintf("crash: %v", problem)
		}
	}()
	provider, _ := gomatrixserverlib.NewAuthEvents(nil)
	for _, each := range r.States[state] {
		if err := provider.AddEvent(r.events[each]); err != nil {
			return "crash: " + err.Error()
		}
	}
	if err := gomatrixserverlib.Allowed(r.events[number], provider, userID); err != nil {
		return err.Error()
	}
	return ""
}

// resolve gives the sorted numbers of the events of the resolved state.
func (r *knownRoom) resolve(merge []int) (resolved any) {
	defer func() {
		if problem := recover(); problem != nil {
			resolved = fmt.Sprintf("crash: %v", problem)
		}
	}()
	distinct := slices.Compact(slices.Sorted(slices.Values(merge)))
	if len(distinct) == 1 {
		return r.States[distinct[0]]
	}
	sets := make([][]gomatrixserverlib.PDU, len(distinct))
	for i, state := range distinct {
		for _, number := range r.States[state] {
			sets[i] = append(sets[i], r.events[number])
		}
	}
	events, err := gomatrixserverlib.ResolveConflictsNew(
		r.Version, sets, r.authEvents(sets), userID, func(id string) bool {
			return slices.Contains(r.Rejected, r.numbers[id])
		},
	)
	if err != nil {
		return "crash: " + err.Error()
	}
	numbers := []int{}
	for _, event := range events {
		numbers = append(numbers, r.numbers[event.EventID()])
	}
	sort.Ints(numbers)
	return numbers
}

// authEvents are, for version 1, the events on which all states agree, which the library
// wants as the state to begin with; else all events that may be cited.
func (r *knownRoom) authEvents(sets [][]gomatrixserverlib.PDU) []gomatrixserverlib.PDU {
	if r.impl.StateResAlgorithm() != gomatrixserverlib.StateResV1 {
		return r.events
	}
	values := map[gomatrixserverlib.StateKeyTuple]map[string]gomatrixserverlib.PDU{}
	for _, set := range sets {
		for _, event := range set {
			key := gomatrixserverlib.StateKeyTuple{
				EventType: event.Type(), StateKey: *event.StateKey(),
			}
			if values[key] == nil {
				values[key] = map[string]gomatrixserverlib.PDU{}
			}
			values[key][event.EventID()] = event
		}
	}
	var agreed []gomatrixserverlib.PDU
	for _, events := range values {
		for _, event := range events {
			if len(events) == 1 {
				agreed = append(agreed, event)
			}
		}
	}
	return agreed
}
