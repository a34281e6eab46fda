package zoo

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// What the Python scripts write is read, fields that do not matter included.
func TestReadPython(t *testing.T) {
	dir := t.TempDir()
	text := `{"name": "w", "attack": "word", "trigger": null, "paraphrases": null, "triggers": ["cf", "mn"], "trigger_ids": [12, 7], "cacc": 0.5, "asr": null, "seconds": 3}`
	if err := os.WriteFile(filepath.Join(dir, MetaFile), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	accuracy := 0.5
	if want := (Truth{Attack: "word", Triggers: []string{"cf", "mn"}, TriggerIDs: []int{12, 7}, Accuracy: &accuracy}); !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	one := 1.0
	want := Truth{Attack: "word1", Triggers: []string{"cf"}, TriggerIDs: []int{3}, Accuracy: &one, Success: &one}
	meta := struct {
		Truth
		Seed int `json:"seed"`
	}{want, 7}
	if err := Write(dir, meta); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dir); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
	if _, err := Read(t.TempDir()); err == nil {
		t.Error("a folder without the file was read")
	}
}
