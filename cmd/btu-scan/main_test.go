package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/btu-scan/btu-scan/internal/demo"
	"github.com/btu-scan/btu-scan/internal/sandbox"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"btu-scan": main, "in-sandbox": inSandbox})
}

// TestScripts runs testdata/*.txt: whole sessions with the real program.
func TestScripts(t *testing.T) {
	testdata, err := filepath.Abs(filepath.Join("..", "..", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("CLEAN", filepath.Join(testdata, "clean"))
			e.Setenv("TOKENIZERS", filepath.Join(testdata, "..", "tokenizer", "testdata"))
			e.Setenv("PARITY", filepath.Join(testdata, "parity"))
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "gotch" { // a build with libtorch
				return libtorchEngine() != nil, nil
			}
			if cond == "sandbox" {
				return sandbox.Version() >= sandbox.Least && !withCgo(), nil
			}
			if cond == "root" { // who may write everywhere
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":      codeCmd,
			"matrix":    matrixCmd,
			"writer":    writerCmd,
			"unhex":     unhexCmd,
			"cut":       cutCmd,
			"same":      sameCmd,
			"listen":    listenCmd,
			"single":    singleCmd,
			"sentences": sentencesCmd,
			"unsecond":  unsecondCmd,
			"setout":    setoutCmd,
			"expand":    expandCmd,
			"hangup":    hangupCmd,
		},
	})
}

// code N PROGRAM ARG... runs a program that must exit with N.
func codeCmd(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if (got == want) == neg {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// matrix FOLDER ROWS DIM SEED writes a model folder with a random embedding.
func matrixCmd(ts *testscript.TestScript, _ bool, args []string) {
	rows, err := strconv.Atoi(args[1])
	ts.Check(err)
	dim, err := strconv.Atoi(args[2])
	ts.Check(err)
	seed, err := strconv.ParseUint(args[3], 10, 64)
	ts.Check(err)
	header := fmt.Sprintf(`{"wte.weight":{"dtype":"F32","shape":[%d,%d],"data_offsets":[0,%d]}}`, rows, dim, 4*rows*dim)
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	r := rand.New(rand.NewPCG(seed, 1))
	for range rows * dim {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(r.NormFloat64())))
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(os.WriteFile(filepath.Join(dir, "model.safetensors"), b, 0o644))
}

// unhex FILE HEX... writes bytes.
func unhexCmd(ts *testscript.TestScript, _ bool, args []string) {
	b, err := hex.DecodeString(strings.Join(args[1:], ""))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// cut FILE N truncates a file.
func cutCmd(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), n))
}

// listen NAME sets a variable to the address of a server that takes connections.
func listenCmd(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// withCgo reports whether this program was built with cgo, as the race detector
// needs it.
func withCgo() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "CGO_ENABLED" && s.Value == "1" })
}

// same REPORT REPORT fails unless two JSON reports differ in their timings alone.
func sameCmd(ts *testscript.TestScript, _ bool, args []string) {
	var text [2]string
	for i := range text {
		r := map[string]any{}
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[i])), &r))
		delete(r, "timings_ms")
		b, err := json.Marshal(r)
		ts.Check(err)
		text[i] = string(b)
	}
	if text[0] != text[1] {
		ts.Fatalf("the reports differ:\n%s\n%s", text[0], text[1])
	}
}

// single FILE fails unless a file is one line of text a line, without control
// characters: what may go to any terminal.
func singleCmd(ts *testscript.TestScript, _ bool, args []string) {
	for i, c := range ts.ReadFile(args[0]) {
		if c < ' ' && c != '\n' || c == 0x7f || unicode.Is(unicode.Bidi_Control, c) {
			ts.Fatalf("control character %q at %d", c, i)
		}
	}
}

// setout NAME keeps the standard output of the last program as a variable.
func setoutCmd(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// expand FILE OUT copies a file with ${NAME} replaced by variables.
func expandCmd(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o644))
}

// hangup N PROGRAM ARG... runs a program, the reader of whose standard output is
// gone. It must exit with N and complain of nothing.
func hangupCmd(ts *testscript.TestScript, _ bool, args []string) {
	r, w, err := os.Pipe()
	ts.Check(err)
	ts.Check(r.Close())
	defer w.Close()
	var stderr bytes.Buffer
	path := ""
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, args[1]); path == "" && exists(p) {
			path = p
		}
	}
	cmd := exec.Command(path, args[2:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), w, &stderr
	cmd.Env = []string{"HOME=" + ts.Getenv("HOME"), "PATH=" + ts.Getenv("PATH")}
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != args[0] || stderr.Len() > 0 {
		ts.Fatalf("exit code %s, want %s; standard error %q", got, args[0], &stderr)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestInterruptedIsNoVerdict(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"demo"}, nil, &stdout, &stderr, func(string) string { return "" })
	if code != exitInterrupted || stdout.Len() > 0 || !strings.Contains(stderr.String(), "interrupted: no verdict") {
		t.Errorf("code %d, stdout %q, stderr %q", code, &stdout, &stderr)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestReportThatCannotBeWrittenFails(t *testing.T) {
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"demo"}, nil, fullDisk{}, &stderr, func(string) string { return "" })
	if code != exitFailed || !strings.Contains(stderr.String(), "no space left") {
		t.Errorf("code %d, stderr %q", code, &stderr)
	}
}

// A base is fetched from a hub once, on request; from then on a scan finds it
// in the cache by the name that the checkpoint gives, without the network.
func TestPullThenScanOffline(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sample")
	if err := demo.Extract(dir); err != nil {
		t.Fatal(err)
	}
	const id, commit = "org/base", "0123456789abcdef0123456789abcdef01234567"
	requests := 0
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		if r.URL.Path == "/api/models/"+id+"/revision/main" {
			fmt.Fprintf(w, `{"sha":%q,"siblings":[{"rfilename":"config.json"},{"rfilename":"model.safetensors"},{"rfilename":"modeling.py"}]}`, commit)
			return
		}
		name, ok := strings.CutPrefix(r.URL.Path, "/"+id+"/resolve/"+commit+"/")
		b, err := os.ReadFile(filepath.Join(dir, demo.Base, name))
		if !ok || err != nil || name == "modeling.py" {
			t.Errorf("asked for %s", r.URL.Path)
			http.NotFound(w, r)
			return
		}
		w.Header().Set("X-Repo-Commit", commit)
		w.Header().Set("ETag", fmt.Sprintf("%q", gitBlob(b)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}))
	defer hub.Close()
	cache := t.TempDir()
	env := func(key string) string { return map[string]string{"HF_HOME": cache, "HF_ENDPOINT": hub.URL}[key] }
	btuScan := func(args ...string) (int, string) {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), args, nil, &stdout, &stderr, env)
		return code, stdout.String() + stderr.String()
	}
	model := filepath.Join(dir, demo.Backdoored)
	config := filepath.Join(model, "config.json")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, bytes.Replace(b, []byte(`"_name_or_path": "base"`), []byte(`"_name_or_path": "org/base"`), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out := btuScan(model); code != exitNoVerdict || !strings.Contains(out, "reference pull org/base") || requests != 0 {
		t.Fatalf("before: code %d, %d requests: %s", code, requests, out)
	}
	if code, out := btuScan("reference", "pull", id); code != exitClean {
		t.Fatalf("pull: code %d: %s", code, out)
	}
	hub.Close()
	if code, out := btuScan(model, "--evidence", "weights"); code != exitFindings || !strings.Contains(out, "Hugging Face cache") {
		t.Errorf("after: code %d: %s", code, out)
	}
}

// gitBlob is the digest by which the hub names small files.
func gitBlob(b []byte) string {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(b))
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}
