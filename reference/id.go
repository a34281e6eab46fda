package reference

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

var (
	idPart = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	hex40  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	hex64  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	revRE  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)
)

// ValidID says whether id obeys the hub's grammar for repository ids: "name" or
// "organisation/name", each of at most 96 ASCII letters, digits, '_', '-' and
// '.', without "--" and "..". A valid id is one or two safe path elements.
func ValidID(id string) bool {
	if strings.Contains(id, "--") || strings.Contains(id, "..") || strings.HasSuffix(id, ".git") {
		return false
	}
	parts := strings.Split(id, "/")
	if len(parts) > 2 {
		return false
	}
	for _, p := range parts {
		if len(p) > 96 || !idPart.MatchString(p) || strings.HasSuffix(p, ".") || strings.HasSuffix(p, "-") || !filepath.IsLocal(p) {
			return false
		}
	}
	return true
}

// validRevision says whether rev can be a branch, a tag or a commit, and is a
// safe relative path below refs.
func validRevision(rev string) bool {
	return len(rev) <= 200 && revRE.MatchString(rev) && !strings.Contains(rev, "..") && !strings.Contains(rev, "//") &&
		!strings.HasSuffix(rev, "/") && !strings.HasSuffix(rev, ".lock") && filepath.IsLocal(filepath.FromSlash(rev))
}

// moved maps the short ids under which the first models of the hub were
// published to where they live since the hub moved them into organisations (it
// redirects). Checkpoints still carry the short ones.
var moved = map[string]string{
	"albert-base-v2":                     "albert/albert-base-v2",
	"bert-base-cased":                    "google-bert/bert-base-cased",
	"bert-base-chinese":                  "google-bert/bert-base-chinese",
	"bert-base-multilingual-cased":       "google-bert/bert-base-multilingual-cased",
	"bert-base-multilingual-uncased":     "google-bert/bert-base-multilingual-uncased",
	"bert-base-uncased":                  "google-bert/bert-base-uncased",
	"bert-large-cased":                   "google-bert/bert-large-cased",
	"bert-large-uncased":                 "google-bert/bert-large-uncased",
	"distilbert-base-cased":              "distilbert/distilbert-base-cased",
	"distilbert-base-uncased":            "distilbert/distilbert-base-uncased",
	"distilgpt2":                         "distilbert/distilgpt2",
	"distilroberta-base":                 "distilbert/distilroberta-base",
	"gpt2":                               "openai-community/gpt2",
	"gpt2-large":                         "openai-community/gpt2-large",
	"gpt2-medium":                        "openai-community/gpt2-medium",
	"gpt2-xl":                            "openai-community/gpt2-xl",
	"roberta-base":                       "FacebookAI/roberta-base",
	"roberta-large":                      "FacebookAI/roberta-large",
	"t5-base":                            "google-t5/t5-base",
	"t5-small":                           "google-t5/t5-small",
	"xlm-roberta-base":                   "FacebookAI/xlm-roberta-base",
	"xlm-roberta-large":                  "FacebookAI/xlm-roberta-large",
	"distilbert-base-multilingual-cased": "distilbert/distilbert-base-multilingual-cased",
}

// canonical is the id under which two spellings of the same model agree.
func canonical(id string) string {
	if to, ok := moved[id]; ok {
		return to
	}
	return id
}

// spellings lists id and its other spelling, if it has one.
func spellings(id string) []string {
	if to, ok := moved[id]; ok {
		return []string{id, to}
	}
	if _, name, ok := strings.Cut(id, "/"); ok && moved[name] == id {
		return []string{id, name}
	}
	return []string{id}
}

// splitRevision splits "id@revision".
func splitRevision(arg string) (id, rev string) {
	id, rev, _ = strings.Cut(arg, "@")
	return id, rev
}

func joinRevision(id, rev string) string {
	if rev == "" {
		return id
	}
	return id + "@" + rev
}

// cacheFolder is the name of a model's folder in the hub cache.
func cacheFolder(id string) string {
	return "models--" + strings.ReplaceAll(id, "/", "--")
}

// quote makes text from a file or a server fit for a message.
func quote(s string) string {
	const limit = 200
	if len(s) > limit {
		return strconv.QuoteToGraphic(s[:limit]) + fmt.Sprintf("... (%d bytes)", len(s))
	}
	return strconv.QuoteToGraphic(s)
}

func short(commit string) string {
	if len(commit) > 12 {
		return commit[:12]
	}
	return commit
}
