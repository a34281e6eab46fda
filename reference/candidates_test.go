package reference

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/loader"
)

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"gpt2": true, "google-bert/bert-base-uncased": true, "a/b.c_d": true, "_x/_y": true,
		"": false, "a/b/c": false, "../x": false, "a/..": false, "a..b": false, "a--b": false, "/a": false, "a/": false,
		"./a": false, "a b": false, "a\nb": false, `a\b`: false, "C:x": false, "é": false, ".a": false, "-a": false,
		"a.": false, "a-": false, "a.git": false, "https://x/y": false, "a?b": false, "a%2e": false,
		strings.Repeat("a", 96): true, strings.Repeat("a", 97): false,
	} {
		if got := ValidID(id); got != want {
			t.Errorf("ValidID(%q) = %v", id, got)
		}
	}
}

func TestValidRevision(t *testing.T) {
	for rev, want := range map[string]bool{
		"main": true, "v1.0": true, "refs/pr/1": true, commitA: true,
		"": false, "../x": false, "a/../../b": false, "/a": false, "a/": false, "-x": false, "a b": false, "a?b": false,
	} {
		if got := validRevision(rev); got != want {
			t.Errorf("validRevision(%q) = %v", rev, got)
		}
	}
}

func TestJudge(t *testing.T) {
	top := t.TempDir()
	ck := model(t, filepath.Join(top, "ck"), 1)
	base := model(t, filepath.Join(top, "base"), 0)
	write(t, filepath.Join(top, "file"), nil)
	model(t, filepath.Join(ck, "inner"), 0)
	model(t, filepath.Join(ck, "gpt2"), 0) // an id is never a path
	if err := os.Symlink(ck, filepath.Join(top, "alias")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		id            string
		path, problem string
	}{
		{"google-bert/bert-base-uncased", "", ""},
		{"gpt2", "", ""},
		{"../base", base, ""},
		{base, base, ""},
		{".", "", "own folder"},
		{ck, "", "own folder"},
		{"..", "", "own folder"},
		{"./inner", "", "own folder"},
		{"../alias/inner", "", "own folder"},
		{filepath.Join(top, "alias"), "", "own folder"},
		{"../file", "", "not a folder"},
		{"../nothing", "", "no such folder"},
		{"/nonexistent/bert", "", "no such folder"},
		{"https://evil.example/x", "", "no such folder"},
		{`\\evil.example\share`, "", "another machine"},
		{"//evil.example/share", "", "another machine"},
		{"./a\x00b", "", "neither"},
		{"./" + strings.Repeat("x", 5000), "", "neither"},
	}
	for _, tt := range tests {
		got := judge([]Candidate{{ID: tt.id, Evidence: "e"}}, ck, nil)
		if len(got) != 1 || got[0].Path != tt.path || !strings.Contains(got[0].Problem, tt.problem) || (tt.problem == "") != (got[0].Problem == "") {
			t.Errorf("%q: %+v", tt.id, got)
		}
	}
	if got := judge([]Candidate{{ID: "../base"}}, "", nil); got[0].Problem == "" {
		t.Errorf("a relative path without a folder: %+v", got)
	}
}

func TestJudgeOrderAndRepetition(t *testing.T) {
	got := judge([]Candidate{
		{ID: "bert-base-uncased", Evidence: "config"},
		{ID: "a/b", Evidence: "card"},
		{ID: "google-bert/bert-base-uncased", Evidence: "card"},
		{ID: "a/b", Evidence: "card"},
		{ID: "a/b", Evidence: "adapter"},
	}, "", nil)
	if len(got) != 2 || got[0].ID != "bert-base-uncased" || got[0].Evidence != "config, card" || got[1].Evidence != "card, adapter" {
		t.Errorf("%+v", got)
	}
}

func TestCandidatesOfACheckpoint(t *testing.T) {
	top := t.TempDir()
	ck := model(t, filepath.Join(top, "ck"), 1)
	write(t, filepath.Join(ck, "config.json"), []byte(`{"model_type":"bert","vocab_size":2,"hidden_size":2,"_name_or_path":"./gone"}`))
	write(t, filepath.Join(ck, "README.md"), []byte("---\nbase_model:\n- org/first\n- org/second\n---\n# a card\n"))
	write(t, filepath.Join(ck, "adapter_config.json"), []byte(`{"base_model_name_or_path":"org/first"}`))
	c, err := loader.Open(t.Context(), ck, loader.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []string
	for _, c := range Candidates(c) {
		got = append(got, c.ID+" | "+c.Evidence+" | "+c.Problem)
	}
	want := []string{
		"./gone | config.json _name_or_path | not a hub id, and no such folder here",
		"org/first | README.md base_model, adapter_config.json base_model_name_or_path | ",
		"org/second | README.md base_model | ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}

	s := Store{CacheDir: filepath.Join(top, "cache")}
	cached(t, s.CacheDir, "org/second", commitA, modelFiles(0), "main")
	ref, err := s.OpenFor(t.Context(), c, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ref.Close()
	if ref.Found.ID != "org/second" || ref.Evidence != "README.md base_model" || len(ref.Files()) != 1 {
		t.Errorf("%+v", ref)
	}
}
