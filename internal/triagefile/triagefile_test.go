package triagefile

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestWriteAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "triage.json")
	none, err := Read(path)
	if err != nil || len(none.Checkpoints) != 0 {
		t.Fatalf("of a file that is not there: %+v, %v", none, err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ds := []Decision{
		{TokenID: 9, Token: `"cf" <b>`, Mark: MarkTrigger, Rule: "BTU001", Time: at},
		{TokenID: 4, Token: "mn", Mark: MarkBenign, Note: "a name", Expires: "2026-12-31", Time: at},
	}
	none.Set("sha256:00", ds)
	none.Set("sha256:01", ds[:1])
	none.Set("sha256:01", nil)
	if err := none.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string][]Decision{"sha256:00": {ds[1], ds[0]}}; !reflect.DeepEqual(got.Checkpoints, want) {
		t.Errorf("is %+v, want %+v", got.Checkpoints, want)
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), `"expires": "2026-12-31"`) || strings.Count(string(data), "expires") != 1 {
		t.Errorf("the file is %s, %v", data, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, x := range []struct{ name, text, say string }{
		{"no JSON", "precious", "file of decisions is left"},
		{"empty", "", "file of decisions is left"},
		{"two documents", `{"schema_version":1}{}`, "after top-level value"},
		{"another version", `{"schema_version":2,"new":{}}`, "schema version 2, not 1"},
		{"no version", `{"checkpoints":{}}`, "schema version 0"},
		{"a mistyped field", `{"schema_version":1,"checkpoints":{"a":[{"token_id":1,"expiry":"2026-12-31"}]}}`, `unknown field "expiry"`},
		{"a mistyped mark", `{"schema_version":1,"checkpoints":{"a":[{"token_id":1,"mark":"benig"}]}}`, "is no mark"},
		{"no such day", `{"schema_version":1,"checkpoints":{"a":[{"token_id":1,"expires":"2026-02-30"}]}}`, "is no date"},
		{"a time", `{"schema_version":1,"checkpoints":{"a":[{"token_id":1,"expires":"2026-02-20T10:00:00Z"}]}}`, "is no date"},
	} {
		t.Run(x.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "t.json")
			if err := os.WriteFile(path, []byte(x.text), 0o644); err != nil {
				t.Fatal(err)
			}
			f, err := Read(path)
			if err == nil || !strings.Contains(err.Error(), x.say) || !strings.Contains(err.Error(), path) {
				t.Errorf("%+v, %v; want an error with %q", f, err, x.say)
			}
		})
	}
}

func TestExpired(t *testing.T) {
	d := Decision{Mark: MarkBenign, Expires: "2026-12-31"}
	for _, x := range []struct {
		now     string
		expired bool
	}{
		{"2026-12-30T12:00:00Z", false},
		{"2026-12-31T23:59:59Z", false}, // the last day counts
		{"2027-01-01T00:00:00Z", true},
		{"2026-12-31T23:30:00-01:00", true}, // days are those of UTC
	} {
		now, err := time.Parse(time.RFC3339, x.now)
		if err != nil {
			t.Fatal(err)
		}
		want := MarkBenign
		if x.expired {
			want = ""
		}
		if d.Expired(now) != x.expired || d.Counts(now) != want {
			t.Errorf("at %s expired is %t, counts %q", x.now, d.Expired(now), d.Counts(now))
		}
	}
	if (Decision{Mark: MarkBenign}).Expired(time.Now()) {
		t.Error("a decision without an expiry has expired")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schema_version":1,"checkpoints":{"sha256:00":[{"rule":"BTU001","token_id":7,"token":"cf","mark":"benign","note":"n","expires":"2026-12-31","time":"2026-01-02T03:04:05Z"}]}}`))
	f.Add([]byte(`{"schema_version":1,"checkpoints":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "t.json")
		if err := file.Write(path); err != nil {
			t.Skip() // a time that JSON has no form for
		}
		again, err := Read(path)
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if !reflect.DeepEqual(file, again) {
			t.Errorf("%+v became %+v", file, again)
		}
	})
}
