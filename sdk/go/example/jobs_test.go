package main

import (
	"errors"
	"testing"

	"windlass.dev/go"
	"windlass.dev/go/windlasstest"
)

func submitted(input Input) (*windlasstest.Host, *windlasstest.Step) {
	host := windlasstest.New("jobs", "https://jobs.test/v1")
	host.Reply("POST /jobs", windlasstest.Text(201, `{"id":"j-1","state":"queued"}`))
	return host, windlasstest.NewStep(plugin, "submit", input)
}

func same[T comparable](t *testing.T, got, expected T) {
	t.Helper()
	if got != expected {
		t.Fatalf("%v is not %v", got, expected)
	}
}

func TestAJobIsSubmittedOnceAndWaitedFor(t *testing.T) {
	host, step := submitted(Input{Title: "index", Priority: "normal"})
	host.Reply("GET /jobs/j-1", windlasstest.Text(200, `{"id":"j-1","state":"running"}`))
	host.Reply("GET /jobs/j-1", windlasstest.Break("interrupted"))
	host.Reply("GET /jobs/j-1", windlasstest.Text(200, `{"id":"j-1","state":"done","artifact":"a","seconds":4}`))
	output, err := step.Run(host)
	same(t, err, nil)
	same(t, output, `{"id":"j-1","artifact":"a","seconds":4}`)
	same(t, string(host.Requests[0].Body), `{"priority":"normal","title":"index"}`)
	same(t, host.Requests[0].Header.Get("Idempotency-Key"), windlasstest.Key(windlass.Start))
	// Another attempt finds the checkpoint.
	answer, err := step.Start(host)
	same(t, err, nil)
	same(t, answer.Suspended.Status, "job j-1 is in the queue")
	same(t, host.Count("POST /jobs"), 1)
}

func TestARejectionIsAFailureOfItsOwnThatIsNotTriedAgain(t *testing.T) {
	host := windlasstest.New("jobs", "https://jobs.test")
	host.Reply("POST /jobs", windlasstest.Text(422, `{"error":"no such index"}`))
	_, err := windlasstest.NewStep(plugin, "submit", Input{Title: "index", Priority: "low"}).Start(host)
	var failure *windlass.Failure
	same(t, errors.As(err, &failure), true)
	same(t, failure.Code, "job-rejected")
	same(t, failure.Advice, windlass.Never)
	same(t, failure.Message, "the service rejects `index`: no such index")
}

func TestTheServiceCallsBack(t *testing.T) {
	host, step := submitted(Input{Title: "index", Priority: "high", Notify: true})
	answer, err := step.Start(host)
	same(t, err, nil)
	same(t, answer.Suspended.Wakes[1].Callback, "topic-1")
	host.Reply("GET /jobs/j-1", windlasstest.Text(200, `{"id":"j-1","state":"failed","reason":"disk full"}`))
	_, err = step.Resume(host, answer.Suspended, windlass.Event{Callback: &windlass.CallbackEvent{Topic: "topic-1"}})
	same(t, err.Error(), "job-failed (rejected): job j-1 failed: disk full")
	same(t, host.Lines[1].Fields[0], windlass.Detail{Name: "topic", Value: "its own"})
}

func TestARollbackWithdrawsAllJobsAlsoOneWhoseAnswerGotLost(t *testing.T) {
	host, step := submitted(Input{Title: "index", Priority: "low"})
	host.Reply("GET /jobs/j-1", windlasstest.Text(200, `{"id":"j-1","state":"failed","reason":"no room"}`))
	_, err := step.Run(host)
	same(t, err.Error(), "job-failed (rejected): job j-1 failed: no room")
	// That was an answer: another attempt is another job.
	again := step.StartAnew()
	host.Reply("POST /jobs", windlasstest.Status(503))
	_, err = again.Run(host)
	var failure *windlass.Failure
	same(t, errors.As(err, &failure), true)
	same(t, failure.Code, "http-503")
	host.Reply("GET /jobs", windlasstest.Text(200, `{"jobs":[{"id":"j-2","state":"queued"}]}`))
	host.Reply("DELETE /jobs/j-1", windlasstest.Status(404))
	host.Reply("DELETE /jobs/j-2", windlasstest.Status(204))
	ended, err := again.Rollback(host, "")
	same(t, err, nil)
	same(t, ended, `{"withdrawn":["j-2"]}`)
	for _, it := range host.Requests {
		if it.Route == "GET /jobs" {
			same(t, it.Query.Get("key"), windlasstest.StartKey(2))
		}
	}
}

func TestAJobIsFoundByItsKey(t *testing.T) {
	host, step := submitted(Input{Title: "index", Priority: "low"})
	host.Reply("GET /jobs", windlasstest.Text(200, `{"jobs":[]}`))
	host.Reply("GET /jobs", windlasstest.Text(200, `{"jobs":[{"id":"j-7","state":"running"}]}`))
	_, found, err := step.Find(host)
	same(t, found, false)
	same(t, err, nil)
	answer, found, err := step.Find(host)
	same(t, found, true)
	same(t, err, nil)
	same(t, string(answer.Suspended.Encoded), `{"id":"j-7"}`)
	same(t, host.Requests[0].Query.Get("key"), windlasstest.Key(windlass.Start))
}
