// A peer that does what this project's server does with a transaction, and no more:
// the yardstick of a compiled language, with nothing but its standard library.
//
//	go run peer.go ADDRESS NAME FOLDER
//
// FOLDER has tls.crt, tls.key, keys.json ({origin: {key ID: base64}}) and v1.json, our
// key document; journal is written there. It checks the signature of the request, and
// of each PDU its content hash and its origin's signature (of messages in rooms of
// version 12, which is what the benchmarks send). A transaction is on the disk before
// its answer is sent; those that come at once share a sync.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
)

type object = map[string]any

type entry struct {
	body []byte
	done chan error
}

var (
	parameter = regexp.MustCompile(`(\w+)="([^"]*)"`)
	keys      map[string]map[string][]byte
	journal   = make(chan entry, 1000)
	kept      = strings.Fields("event_id type room_id sender state_key content hashes " +
		"signatures depth prev_events auth_events origin_server_ts")
)

// canonical is the JSON of all members but those left out.
func canonical(value object, leftOut ...string) []byte {
	rest := object{}
	for name, member := range value {
		rest[name] = member
	}
	for _, name := range leftOut {
		delete(rest, name)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.Encode(rest)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

func verify(origin, keyID string, message []byte, signature string) bool {
	key, raw := keys[origin][keyID], make([]byte, ed25519.SignatureSize)
	n, err := base64.RawStdEncoding.Decode(raw, []byte(signature))
	return err == nil && n == len(raw) && len(key) == ed25519.PublicKeySize &&
		ed25519.Verify(key, message, raw)
}

// judge says what a PDU's ID is, and what is wrong with it if anything is.
func judge(pdu object) (string, object) {
	redacted := object{}
	for _, name := range kept {
		if member, is := pdu[name]; is {
			redacted[name] = member
		}
	}
	redacted["content"] = object{}
	message := canonical(redacted, "signatures", "unsigned")
	id := sha256.Sum256(message)
	hash := sha256.Sum256(canonical(pdu, "unsigned", "signatures", "hashes"))
	sender, _ := pdu["sender"].(string)
	_, origin, _ := strings.Cut(sender, ":")
	hashes, _ := pdu["hashes"].(object)
	signatures, _ := pdu["signatures"].(object)
	own, _ := signatures[origin].(object)
	verdict := object{"error": "no good signature"}
	for keyID, signature := range own {
		if text, is := signature.(string); is && verify(origin, keyID, message, text) {
			verdict = object{}
		}
	}
	if hashes["sha256"] != base64.RawStdEncoding.EncodeToString(hash[:]) {
		verdict = object{"error": "content hash"}
	}
	return "$" + base64.RawURLEncoding.EncodeToString(id[:]), verdict
}

func send(name string, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, 13107200))
	decoder, content := json.NewDecoder(bytes.NewReader(body)), object{}
	decoder.UseNumber()
	if decoder.Decode(&content) != nil {
		http.Error(w, `{"errcode":"M_NOT_JSON"}`, 400)
		return
	}
	said := map[string]string{}
	for _, each := range parameter.FindAllStringSubmatch(r.Header.Get("Authorization"), -1) {
		said[each[1]] = each[2]
	}
	signed := canonical(object{"method": r.Method, "uri": r.RequestURI, "content": content,
		"origin": said["origin"], "destination": name})
	if said["destination"] != name || !verify(said["origin"], said["key"], signed, said["sig"]) {
		http.Error(w, `{"errcode":"M_UNAUTHORIZED"}`, 401)
		return
	}
	verdicts := object{}
	pdus, _ := content["pdus"].([]any)
	for _, each := range pdus {
		pdu, _ := each.(object)
		id, verdict := judge(pdu)
		verdicts[id] = verdict
	}
	stored := entry{body, make(chan error)}
	journal <- stored
	if <-stored.done != nil {
		http.Error(w, `{"errcode":"M_UNKNOWN"}`, 503)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(canonical(object{"pdus": verdicts}))
}

// store writes what waits, and answers when it is on the disk.
func store(file *os.File) {
	for first := range journal {
		group := []entry{first}
		for len(group) < 256 && len(journal) > 0 {
			group = append(group, <-journal)
		}
		for _, each := range group {
			file.Write(append(each.body, '\n'))
		}
		err := file.Sync()
		for _, each := range group {
			each.done <- err
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	address, name, folder := os.Args[1], os.Args[2], os.Args[3]+"/"
	must(0, json.Unmarshal(must(os.ReadFile(folder+"keys.json")), &keys))
	document := must(os.ReadFile(folder + "v1.json"))
	go store(must(os.OpenFile(folder+"journal", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)))
	fixed := func(body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write(body)
		}
	}
	http.HandleFunc("GET /_matrix/key/v1", fixed(document))
	http.HandleFunc("GET /_matrix/federation/v1/version",
		fixed([]byte(`{"server":{"name":"peer","version":"1"}}`)))
	http.HandleFunc("PUT /_matrix/federation/v1/send/{txnId}",
		func(w http.ResponseWriter, r *http.Request) { send(name, w, r) })
	listener := must(net.Listen("tcp", address))
	fmt.Println("listening: " + address)
	log.Fatal(http.ServeTLS(listener, nil, folder+"tls.crt", folder+"tls.key"))
}
