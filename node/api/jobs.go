package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/magnet"
	"seedbed/node/api/guard"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/node/doctor"
	"seedbed/node/publish"
	"seedbed/node/view"
)

// JobPath is the path parameter of operations on one job.
type JobPath struct {
	Number int64 `path:"number" doc:"The number of the job."`
}

// JobList is the jobs of a daemon.
type JobList struct {
	Jobs []*view.Job `json:"jobs" doc:"The jobs that run, and the last 100 that have ended."`
}

// startedJob is the answer to a request that has started a job.
type startedJob struct {
	Location string `header:"Location" doc:"The path of the job."`
	Body     *view.Job
}

func (a *api) started(j *daemon.Job, err error) (*startedJob, error) {
	if err != nil {
		return nil, a.problem(err)
	}
	return &startedJob{"/v1/jobs/" + strconv.FormatInt(j.ID, 10), a.job(j)}, nil
}

// startsJob describes an operation that answers 202 with a job.
func startsJob(method, path, id, summary string, scope token.Scope) huma.Operation {
	o := operation(method, path, id, summary, scope)
	o.DefaultStatus = http.StatusAccepted
	o.Description = "Answers 202 with a job. Its progress is in GET /v1/jobs/{number} and in the events job of GET /v1/events."
	return o
}

// job returns the object of a job.
func (a *api) job(j *daemon.Job) *view.Job {
	s := j.State()
	o := &view.Job{Number: j.ID, Kind: j.Kind, Status: "running", Started: j.Started.Format(time.RFC3339), Done: s.Done, Total: s.Total}
	switch {
	case s.Ended && s.Err != nil:
		fault := view.FaultOf(s.Err, a.cfg.Hint)
		o.Status, o.Fault = "failed", &fault
		if errors.Is(s.Err, daemon.ErrCancelled) {
			o.Status = "cancelled"
		}
	case s.Ended:
		o.Status = "done"
	}
	switch r := s.Result.(type) {
	case publish.Outcome:
		o.InfoHash, o.Link, o.KeepLink, o.Seq = r.InfoHash.String(), r.Link, r.KeepLink, &r.Seq
		o.Unchanged, o.WasShared = r.IsUnchanged, r.WasShared
	case []doctor.Finding:
		for i := range r {
			o.Findings = append(o.Findings, *view.FindingOf(string(r[i].Step), r[i].What, r[i].Verdict.String(), r[i].Text, r[i].Advice, r[i].Took, r[i].Data))
		}
	case *daemon.Inspection:
		o.Inspection = a.inspection(r)
		if hash := r.InfoHash(); !hash.IsZero() {
			o.InfoHash = hash.String()
		}
	}
	view.Complete(o, time.Now())
	return o
}

// scopeOfJob returns the scope that starts such a job.
func scopeOfJob(j *daemon.Job) token.Scope {
	if j.Kind == "doctor" || j.Kind == daemon.JobInspect {
		return token.Add
	}
	return token.Admin
}

type doctorInput struct {
	Body struct {
		Link       string `json:"link,omitempty" maxLength:"262144" doc:"A magnet link or an infohash: the checks then go on to the metadata of this torrent."`
		WriteStore bool   `json:"write_store,omitempty" doc:"Of a daemon with an object store: also write and delete small objects below .seedbed/ in it. That needs the scope admin."`
	} `required:"false"`
}

func (a *api) addJobs() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/jobs", "list-jobs", "List the jobs", token.Read),
		func(context.Context, *struct{}) (*struct{ Body JobList }, error) {
			out := JobList{Jobs: []*view.Job{}}
			jobs, _ := a.Jobs(0)
			for _, j := range jobs {
				out.Jobs = append(out.Jobs, a.job(j))
			}
			return &struct{ Body JobList }{out}, nil
		})
	huma.Register(a.huma, operation(http.MethodGet, "/v1/jobs/{number}", "get-job", "Show a job", token.Read),
		func(_ context.Context, in *JobPath) (*struct{ Body *view.Job }, error) {
			j, err := a.Job(in.Number)
			if err != nil {
				return nil, a.problem(err)
			}
			return &struct{ Body *view.Job }{a.job(j)}, nil
		})
	huma.Register(a.huma, operation(http.MethodDelete, "/v1/jobs/{number}", "cancel-job", "Cancel a job; one that only an admin can start needs the scope admin", token.Add),
		func(ctx context.Context, in *JobPath) (*struct{ Body *view.Job }, error) {
			j, err := a.Job(in.Number)
			if err != nil {
				return nil, a.problem(err)
			}
			if need := scopeOfJob(j); guard.ScopeOf(ctx) < need {
				return nil, missingScope(need)
			}
			j.Cancel()
			return &struct{ Body *view.Job }{a.job(j)}, nil
		})
	huma.Register(a.huma, startsJob(http.MethodPost, "/v1/doctor", "run-doctor", "Diagnose connection problems", token.Add),
		func(ctx context.Context, in *doctorInput) (*startedJob, error) {
			var link *magnet.Link
			if in.Body.Link != "" {
				var err error
				if link, err = magnet.ParseBare(in.Body.Link); err == nil {
					err = link.Openable()
				}
				if err != nil {
					return nil, a.problem(err)
				}
			}
			if in.Body.WriteStore && guard.ScopeOf(ctx) < token.Admin {
				return nil, missingScope(token.Admin)
			}
			return a.started(a.Examine(link, in.Body.WriteStore))
		})
}
