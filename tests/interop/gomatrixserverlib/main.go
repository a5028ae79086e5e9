// Builds and judges events with gomatrixserverlib: reads one JSON object a line from
// standard input, and answers each with a line on standard output.
//
//	{"do": "build", "version", "server", "key_id", "seed", "event"}
//	{"do": "judge", "version", "keys": {server: {key ID: key}}, "event"}
//	{"do": "room", ...}: rooms.go has the form, and that of the answer
//
// "event" of "build" is an event without hashes and signatures, whose references are
// event IDs. Keys and seeds are unpadded base64. The answer is
// {"event_id", "event", "redacted"} or {"error"}.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"
	"golang.org/x/crypto/ed25519"
)

type request struct {
	Do      string                        `json:"do"`
	Version gomatrixserverlib.RoomVersion `json:"version"`
	Server  spec.ServerName               `json:"server"`
	KeyID   gomatrixserverlib.KeyID       `json:"key_id"`
	Seed    spec.Base64Bytes              `json:"seed"`
	Keys    keys                          `json:"keys"`
	Event   json.RawMessage               `json:"event"`
}

type answer struct {
	EventID  string          `json:"event_id,omitempty"`
	Event    json.RawMessage `json:"event,omitempty"`
	Redacted bool            `json:"redacted"`
	Error    string          `json:"error,omitempty"`
}

type keys map[spec.ServerName]map[gomatrixserverlib.KeyID]spec.Base64Bytes

// VerifyJSONs has each message be signed by a key of the server that it asks for.
func (known keys) VerifyJSONs(
	_ context.Context, requests []gomatrixserverlib.VerifyJSONRequest,
) ([]gomatrixserverlib.VerifyJSONResult, error) {
	results := make([]gomatrixserverlib.VerifyJSONResult, len(requests))
	for i, each := range requests {
		results[i].Error = fmt.Errorf("not signed by %s", each.ServerName)
		for keyID, key := range known[each.ServerName] {
			results[i].Error = gomatrixserverlib.VerifyJSON(
				string(each.ServerName), keyID, ed25519.PublicKey(key), each.Message,
			)
		}
	}
	return results, nil
}

func userID(_ spec.RoomID, sender spec.SenderID) (*spec.UserID, error) {
	return spec.NewUserID(string(sender), true)
}

func build(version gomatrixserverlib.IRoomVersion, asked request) (gomatrixserverlib.PDU, error) {
	var event struct {
		gomatrixserverlib.ProtoEvent
		PrevEvents []string `json:"prev_events"`
		AuthEvents []string `json:"auth_events"`
		TS         int64    `json:"origin_server_ts"`
	}
	if err := json.Unmarshal(asked.Event, &event); err != nil {
		return nil, err
	}
	event.ProtoEvent.PrevEvents = event.PrevEvents
	event.ProtoEvent.AuthEvents = event.AuthEvents
	builder := version.NewEventBuilderFromProtoEvent(&event.ProtoEvent)
	key := ed25519.NewKeyFromSeed(asked.Seed)
	return builder.Build(time.UnixMilli(event.TS), asked.Server, asked.KeyID, key)
}

func judge(version gomatrixserverlib.IRoomVersion, asked request) (gomatrixserverlib.PDU, error) {
	event, err := version.NewEventFromUntrustedJSON(asked.Event)
	if err != nil {
		return nil, err
	}
	return event, gomatrixserverlib.VerifyEventSignatures(
		context.Background(), event, asked.Keys, userID,
	)
}

func answerTo(line []byte) any {
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return answer{Error: err.Error()}
	}
	if asked.Do == "room" {
		judged, err := answerToRoom(line)
		if err != nil {
			return answer{Error: err.Error()}
		}
		return judged
	}
	version, err := gomatrixserverlib.GetRoomVersion(asked.Version)
	if err != nil {
		return answer{Error: err.Error()}
	}
	work := map[string]func(
		gomatrixserverlib.IRoomVersion, request,
	) (gomatrixserverlib.PDU, error){"build": build, "judge": judge}[asked.Do]
	event, err := work(version, asked)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{EventID: event.EventID(), Event: event.JSON(), Redacted: event.Redacted()}
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	answers := os.Stdout
	os.Stdout = nil // the library prints what it resolves
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		written, err := json.Marshal(answerTo(line))
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(answers, string(written))
	}
}
