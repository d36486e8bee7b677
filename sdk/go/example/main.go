// A plugin that works at a job service: it submits a job, waits until it has ended, and withdraws it on a rollback.
package main

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"windlass.dev/go"
	"windlass.dev/go/component"
)

// Input is what a workflow says.
type Input struct {
	Title    string `json:"title" min:"1" doc:"What people call the job."`
	Priority string `json:"priority" enum:"low,normal,high" default:"normal" doc:"How soon it is worked on."`
	Notify   bool   `json:"notify" default:"false" doc:"Whether the service calls back when the job has ended."`
}

// Output is what later steps can use.
type Output struct {
	ID       string `json:"id" doc:"The job, as the service names it."`
	Artifact string `json:"artifact" doc:"Where what it made lies."`
	Seconds  int64  `json:"seconds" min:"0" doc:"How long it took."`
}

// State is what a suspension carries.
type State struct {
	ID    string `json:"id"`
	Topic string `json:"topic,omitempty"`
}

// Job is what the service answers of a job.
type Job struct {
	ID       string `json:"id"`
	State    string `json:"state" enum:"queued,running,done,failed"`
	Artifact string `json:"artifact,omitempty"`
	Seconds  int64  `json:"seconds,omitempty"`
	Reason   string `json:"reason" default:"no reason given"`
}

var plugin = &windlass.Plugin{
	Name:        "jobs",
	Version:     "0.1.0",
	Description: "Work at a job service.",
	Actions: []windlass.AnyAction{windlass.Action[Input, Output, State]{
		Name:        "submit",
		Description: "Submits a job and waits until it has ended.",
		Effect:      windlass.Write,
		Connections: map[string]windlass.Role{
			"jobs": {Description: "The job service.", Requests: []string{"GET,POST /jobs", "GET,DELETE /jobs/*"}},
		},
		Start:    start,
		Resume:   resume,
		Rollback: rollback,
		Find:     find,
	}},
}

func init() { component.Export(plugin) }

func main() {}

func start(ctx *windlass.Context, input Input) (output Output, err error) {
	jobs, err := ctx.Connection("jobs")
	if err != nil {
		return output, err
	}
	var address windlass.Callback
	if input.Notify {
		// Once: another attempt at the same work waits for the same address, and has the same job.
		address, err = windlass.Once(ctx, "address", func() (windlass.Callback, error) { return ctx.Callback(), nil })
		if err != nil {
			return output, err
		}
	}
	id, err := windlass.Once(ctx, "job", func() (string, error) { return submit(jobs, input, address) })
	if err != nil {
		return output, err
	}
	ctx.Log.Info("submitted", "job", id)
	ctx.Progress.Link("job", jobs.URL(windlass.Path("jobs", id)))
	return output, waiting(State{id, address.Topic}, "is in the queue")
}

func submit(jobs *windlass.Connection, input Input, address windlass.Callback) (string, error) {
	body := map[string]string{"title": input.Title, "priority": input.Priority}
	if input.Notify {
		notify, err := address.RequiredURL()
		if err != nil {
			return "", err
		}
		body["notify"] = notify
	}
	response, err := jobs.Do(windlass.Request{
		Method: http.MethodPost, Path: "/jobs", JSON: body, IdempotencyKey: true, Accept: []int{http.StatusUnprocessableEntity},
	})
	if err != nil {
		return "", err
	}
	if response.StatusCode == http.StatusUnprocessableEntity {
		var refusal struct {
			Error string `json:"error"`
		}
		if err := windlass.ReadJSON(response, &refusal); err != nil {
			return "", err
		}
		failure := windlass.Fail(windlass.Rejected, "job-rejected", "the service rejects `%s`: %s", input.Title, refusal.Error)
		return "", failure.Never().Detail("title", input.Title)
	}
	var job Job
	err = windlass.ReadJSON(response, &job)
	return job.ID, err
}

func resume(ctx *windlass.Context, _ Input, state State, event windlass.Event) (output Output, err error) {
	if event.Callback != nil {
		whose := "another"
		if event.Callback.Topic == state.Topic {
			whose = "its own"
		}
		ctx.Log.Info("called back", "topic", whose)
	}
	jobs, err := ctx.Connection("jobs")
	if err != nil {
		return output, err
	}
	var job Job
	err = jobs.JSON(windlass.Request{Path: windlass.Path("jobs", state.ID)}, &job)
	var failure *windlass.Failure
	if errors.As(err, &failure) && failure.Passes() {
		// The job goes on whether it is watched or not.
		return output, waiting(state, "cannot be looked at now ("+failure.Code+")")
	}
	if err != nil {
		return output, err
	}
	return outcome(ctx, job, state)
}

func rollback(ctx *windlass.Context, _ Input, _ *Output) (any, error) {
	jobs, err := ctx.Connection("jobs")
	if err != nil {
		return nil, err
	}
	withdrawn := []string{}
	for _, started := range ctx.Starts() {
		id, err := submittedJob(ctx, started)
		if err != nil {
			return nil, err
		}
		if id == "" {
			continue
		}
		response, err := jobs.Do(windlass.Request{
			Method: http.MethodDelete, Path: windlass.Path("jobs", id), Accept: []int{http.StatusNotFound},
		})
		if err != nil {
			return nil, err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			withdrawn = append(withdrawn, id)
		}
	}
	return map[string][]string{"withdrawn": withdrawn}, nil
}

// submittedJob is the job that was submitted; none if there is none. After a job that failed, another attempt has another job.
// One whose answer got lost is found by its key.
func submittedJob(ctx *windlass.Context, started windlass.Started) (string, error) {
	if id, done, err := windlass.Recorded[string](started, "job"); err != nil || done {
		return id, err
	}
	found, err := byKey(ctx, started.Key)
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0].ID, nil
}

func byKey(ctx *windlass.Context, key string) ([]Job, error) {
	jobs, err := ctx.Connection("jobs")
	if err != nil {
		return nil, err
	}
	var found struct {
		Jobs []Job `json:"jobs"`
	}
	err = jobs.JSON(windlass.Request{Path: "/jobs", Query: url.Values{"key": {key}}}, &found)
	return found.Jobs, err
}

func find(ctx *windlass.Context, _ Input) (output Output, err error) {
	found, err := byKey(ctx, ctx.IdempotencyKey())
	if err != nil {
		return output, err
	}
	if len(found) == 0 {
		return output, windlass.ErrNotFound
	}
	return outcome(ctx, found[0], State{ID: found[0].ID})
}

func outcome(ctx *windlass.Context, job Job, state State) (Output, error) {
	switch job.State {
	case "done":
		ctx.Progress.Percent(100)
		return Output{job.ID, job.Artifact, job.Seconds}, nil
	case "failed":
		return Output{}, windlass.Fail(windlass.Rejected, "job-failed", "job %s failed: %s", job.ID, job.Reason).Detail("job", job.ID)
	}
	ctx.Progress.Status("job %s is %s", job.ID, job.State)
	return Output{}, waiting(state, "is "+job.State)
}

func waiting(state State, how string) error {
	return windlass.Suspend(state, windlass.Wait{After: 2 * time.Second, Callback: state.Topic, Status: "job " + state.ID + " " + how})
}
