// Sends the requests that its input describes, one a line of JSON, with Go's own
// client of HTTP and TLS, and writes what came of each.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

type question struct {
	Address, Name, Method, Path, Body, Authorization, CaFile string
	Seconds                                                  float64
}

type answer struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`
	Error   string            `json:"error"`
}

func ask(asked question) (answer, error) {
	pem, err := os.ReadFile(asked.CaFile)
	if err != nil {
		return answer{}, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	patience := time.Duration(asked.Seconds * float64(time.Second))
	client := http.Client{
		Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", asked.Address)
			},
			TLSClientConfig:    &tls.Config{RootCAs: roots},
			DisableCompression: true,
			DisableKeepAlives:  true,
			ForceAttemptHTTP2:  true,
			// Without it, a handshake goes on when nothing waits for it any more.
			TLSHandshakeTimeout: patience,
		},
	}
	request, err := http.NewRequest(
		asked.Method, "https://"+asked.Name+asked.Path, bytes.NewReader([]byte(asked.Body)),
	)
	if err != nil {
		return answer{}, err
	}
	if asked.Authorization != "" {
		request.Header.Set("Authorization", asked.Authorization)
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	got := answer{Status: response.StatusCode, Headers: map[string]string{}}
	for name, values := range response.Header {
		got.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	got.Body, err = io.ReadAll(response.Body)
	return got, err
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var asked question
		err := json.Unmarshal(lines.Bytes(), &asked)
		var got answer
		if err == nil {
			got, err = ask(asked)
		}
		if err != nil {
			got.Error = err.Error()
		}
		json.NewEncoder(os.Stdout).Encode(got)
	}
}
