// A bulk fetcher as Go programmers write it: C goroutines take URLs from a
// channel, and read each body to its end.
//
//	fetch -c C [-tuned] FILE
//
// Plain, it is http.Get: the default transport keeps two idle connections per
// host and closes the rest.  With -tuned it keeps one for each goroutine.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

type tally struct{ ok, failed, bytes int64 }

func tunedClient(connections int) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConns = 0
	transport.MaxIdleConnsPerHost = connections
	transport.MaxConnsPerHost = connections
	transport.DisableCompression = true
	return &http.Client{Transport: transport}
}

func fetch(client *http.Client, url string, got *tally) {
	response, err := client.Get(url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		got.failed++
		return
	}
	n, err := io.Copy(io.Discard, response.Body)
	response.Body.Close()
	got.bytes += n
	if err != nil || response.StatusCode != http.StatusOK {
		got.failed++
		return
	}
	got.ok++
}

func produce(path string, urls chan<- string) error {
	defer close(urls)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		urls <- lines.Text()
	}
	return lines.Err()
}

func main() {
	connections := flag.Int("c", 10, "requests at a time")
	tuned := flag.Bool("tuned", false, "keep a connection per goroutine")
	flag.Parse()

	client := http.DefaultClient
	if *tuned {
		client = tunedClient(*connections)
	}
	urls := make(chan string, *connections)
	results := make(chan tally, *connections)
	var running sync.WaitGroup
	for i := 0; i < *connections; i++ {
		running.Add(1)
		go func() {
			defer running.Done()
			var got tally
			for url := range urls {
				fetch(client, url, &got)
			}
			results <- got
		}()
	}
	if err := produce(flag.Arg(0), urls); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	running.Wait()
	close(results)
	var all tally
	for got := range results {
		all.ok += got.ok
		all.failed += got.failed
		all.bytes += got.bytes
	}
	fmt.Printf("{\"ok\": %d, \"failed\": %d, \"bytes\": %d}\n",
		all.ok, all.failed, all.bytes)
	if all.failed != 0 {
		os.Exit(1)
	}
}
