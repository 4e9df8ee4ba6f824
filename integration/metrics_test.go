//go:build linux

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"seedbed/node/api"
)

// The files of the package that this test checks.
const (
	dashboardFile = "../packaging/grafana/seedbed.json"
	alertsFile    = "../packaging/prometheus/alerts.yml"
)

// A real Prometheus scrapes a daemon that transfers a torrent, and a bootstrap node. Every expression of the
// dashboard gives data, and every alert can be evaluated.
func TestPrometheusScrapesDaemonAndBootstrapNode(t *testing.T) {
	t.Parallel()
	needCommands(t, "prometheus", "promtool")
	ctx := timeLimit(t)
	const at, boot, other = "10.4.189.1", "10.4.189.2", "10.4.189.3"
	start(t, "bootstrap node", nil, seedbed, "bootstrap", "--listen", endpoint(boot), "--metrics", boot+":9881", "--state", t.TempDir())
	p := tree(t, "measured", 4<<20)
	run(t, other, "seed", p.torrent, "-d", p.parent, "--bootstrap", endpoint(boot)).wait(ctx, "ready")
	s := serve(t, ctx, at, filepath.Join(shortDir(t), "s"), t.TempDir(), "--bootstrap", endpoint(boot), "--http", at+":8009", "--metrics", at+":9882")
	token, err := s.rest.NewToken(ctx, "prometheus", "read")
	must(t, err)
	_, _, err = s.rest.Add(ctx, api.AddBody{Link: p.from(other)})
	must(t, err)
	for what, url := range map[string]string{"the daemon to be ready": "http://" + at + ":8009/readyz", "its own listener": "http://" + at + ":9882/readyz",
		"the bootstrap node": "http://" + boot + ":9881/healthz"} {
		poll(ctx, t, what, func() bool { code, _ := fetchText(ctx, t, url, ""); return code == http.StatusOK })
	}
	if code, _ := fetchText(ctx, t, "http://"+at+":8009/metrics", ""); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", code)
	}
	for url, bearer := range map[string]string{"http://" + at + ":8009/metrics": token.Text, "http://" + at + ":9882/metrics": "", "http://" + boot + ":9881/metrics": ""} {
		_, text := fetchText(ctx, t, url, bearer)
		checkMetrics(ctx, t, text)
	}
	m := startPrometheus(ctx, t, "10.4.189.4:9090", fmt.Sprintf(`
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [ %q ]
scrape_configs:
  - { job_name: seedbed, authorization: { credentials: %q }, static_configs: [ { targets: [ "%s:8009" ] } ] }
  - { job_name: seedbed-bootstrap, static_configs: [ { targets: [ "%s:9881" ] } ] }
`, absolute(t, alertsFile), token.Text, at, boot))
	poll(ctx, t, "the download to be counted", func() bool {
		return m.value(ctx, `seedbed_payload_bytes_total{direction="in"}`) >= float64(p.size) && m.value(ctx, `seedbed_torrents{state="seeding"}`) == 1
	})
	left := dashboardExpressions(t)
	defer func() {
		for e := range left {
			t.Logf("no data: %s", e)
		}
	}()
	poll(ctx, t, "each expression of the dashboard to give data", func() bool {
		_, err := s.rest.FindPeers(ctx, p.infohash, false) // so that there are lookups and queries
		must(t, err)
		for e := range left {
			if !math.IsNaN(m.value(ctx, e)) {
				delete(left, e)
			}
		}
		return len(left) == 0
	})
	m.evaluateAlerts(ctx, t)
}

// The alerts fire when they should.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	needCommands(t, "promtool")
	for _, args := range [][]string{{"check", "rules", absolute(t, alertsFile)}, {"test", "rules", absolute(t, "testdata/alerts_test.yml")}} {
		if out, err := exec.CommandContext(timeLimit(t), "promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", args, err, out)
		}
	}
}

// checkMetrics checks our own metrics for what is not as the conventions say.
func checkMetrics(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	var ours strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "seedbed_") {
			ours.WriteString(line)
		}
	}
	cmd := exec.CommandContext(ctx, "promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(ours.String())
	if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 || ours.Len() == 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// dashboardExpressions returns the expressions of the dashboard, with values for its variables.
func dashboardExpressions(t *testing.T) map[string]bool {
	t.Helper()
	b, err := os.ReadFile(dashboardFile)
	must(t, err)
	var board struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	must(t, json.Unmarshal(b, &board))
	values := strings.NewReplacer("$job", ".*", "$instance", ".*", "$__rate_interval", "30s")
	all := map[string]bool{}
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %s shows nothing", p.Title)
		}
		for _, x := range p.Targets {
			e := values.Replace(x.Expr)
			if strings.Contains(e, "$") {
				t.Errorf("%s has a variable that this test does not know", e)
			}
			all[e] = true
		}
	}
	if len(all) < 50 {
		t.Errorf("the dashboard has only %d expressions", len(all))
	}
	return all
}

// prometheus is a running Prometheus.
type prometheus struct {
	t   *testing.T
	url string
}

// startPrometheus starts a Prometheus at an address and waits until it is ready.
func startPrometheus(ctx context.Context, t *testing.T, addr, config string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	must(t, os.WriteFile(file, []byte(config), 0o600))
	m := &prometheus{t, "http://" + addr}
	started := start(t, "prometheus", nil, "prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=warn")
	started.poll(ctx, "Prometheus to be ready", func() bool { code, _ := fetchText(ctx, t, m.url+"/-/ready", ""); return code == http.StatusOK })
	return m
}

// value returns a value of an expression that is not NaN; NaN if there is none. An expression that cannot be evaluated
// fails the test.
func (m *prometheus) value(ctx context.Context, expression string) float64 {
	m.t.Helper()
	var result []struct{ Value [2]any }
	if kind := m.query(ctx, expression, &result); kind != "vector" {
		m.t.Fatalf("%s is a %s", expression, kind)
	}
	for _, r := range result {
		if v, err := strconv.ParseFloat(r.Value[1].(string), 64); err == nil && !math.IsNaN(v) {
			return v
		}
	}
	return math.NaN()
}

// query evaluates an expression and returns the type of its result.
func (m *prometheus) query(ctx context.Context, expression string, result any) string {
	m.t.Helper()
	_, text := fetchText(ctx, m.t, m.url+"/api/v1/query?query="+url.QueryEscape(expression), "")
	var answer struct {
		Status, Error string
		Data          struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Status != "success" {
		m.t.Fatalf("%s: %v %s", expression, err, text)
	}
	must(m.t, json.Unmarshal(answer.Data.Result, result))
	return answer.Data.ResultType
}

// evaluateAlerts waits until Prometheus has evaluated every rule, and checks that none has failed. It also evaluates their
// expressions.
func (m *prometheus) evaluateAlerts(ctx context.Context, t *testing.T) {
	t.Helper()
	poll(ctx, t, "the rules to be evaluated", func() bool {
		_, text := fetchText(ctx, t, m.url+"/api/v1/rules", "")
		var answer struct {
			Data struct {
				Groups []struct {
					Rules []struct{ Name, Query, Health, LastError, State string }
				}
			}
		}
		must(t, json.Unmarshal([]byte(text), &answer))
		rules := 0
		for _, g := range answer.Data.Groups {
			for _, r := range g.Rules {
				if r.Health == "unknown" { // not evaluated yet
					return false
				}
				var result json.RawMessage
				if m.query(ctx, r.Query, &result); r.Health != "ok" {
					t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
				}
				if r.State == "firing" {
					t.Errorf("%s fires", r.Name)
				}
				rules++
			}
		}
		if rules < 10 {
			t.Errorf("only %d rules", rules)
		}
		return true
	})
}

// fetchText returns the answer to a GET request; code is 0 if there is none.
func fetchText(ctx context.Context, t *testing.T, url, bearer string) (code int, text string) {
	t.Helper()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	must(t, err)
	if bearer != "" {
		q.Header.Set("Authorization", "Bearer "+bearer)
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	must(t, err)
	return r.StatusCode, string(b)
}

// absolute returns the absolute path of a file. A cached result of the test is not used when the file has changed.
func absolute(t *testing.T, path string) string {
	t.Helper()
	_, err := os.Stat(path)
	must(t, err)
	abs, err := filepath.Abs(path)
	must(t, err)
	return abs
}
