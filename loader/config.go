package loader

import (
	"bytes"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/goccy/go-yaml"
)

// A Config is the part of config.json that we use. Every field is the
// attacker's word.
type Config struct {
	ModelType         string
	Architectures     []string
	NameOrPath        string // _name_or_path: where the fine-tune says it started
	VocabSize         int
	HiddenSize        int
	TieWordEmbeddings *bool    // nil where the file does not say
	Labels            []string // id2label in the order of the ids
	PadTokenID        *int
}

// A Card is the part of a model card's front matter that we use.
type Card struct {
	BaseModel []string
}

// readMetadata fills in what the other files of the folder say. Tensors are
// worth scanning without them, so a file that cannot be read is a warning.
func (c *Checkpoint) readMetadata(f *folder) {
	for _, m := range []struct {
		name  string
		parse func([]byte) error
	}{
		{"config.json", c.parseConfig},
		{"README.md", c.parseCard},
		{"adapter_config.json", c.parseAdapter},
	} {
		data, err := f.read(m.name)
		if err == nil && data != nil {
			err = m.parse(data)
		}
		if err != nil {
			c.warnings = append(c.warnings, fmt.Sprintf("%s is ignored: %v", m.name, err))
		}
	}
}

func (c *Checkpoint) parseConfig(data []byte) error {
	type sizes struct {
		VocabSize  int    `json:"vocab_size"`
		HiddenSize int    `json:"hidden_size"`
		NEmbd      int    `json:"n_embd"` // GPT-2
		DModel     int    `json:"d_model"`
		Dim        int    `json:"dim"` // DistilBERT
		Tie        *bool  `json:"tie_word_embeddings"`
		ModelType  string `json:"model_type"`
	}
	var raw struct {
		sizes         `json:",inline"`
		Text          *sizes            `json:"text_config"` // multimodal models
		Architectures []string          `json:"architectures"`
		NameOrPath    string            `json:"_name_or_path"`
		ID2Label      map[string]string `json:"id2label"`
		PadTokenID    *int              `json:"pad_token_id"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	s := raw.sizes
	if raw.Text != nil && s.VocabSize == 0 {
		modelType := s.ModelType
		s = *raw.Text
		s.ModelType = modelType
	}
	cfg := Config{
		ModelType: s.ModelType, Architectures: raw.Architectures, NameOrPath: raw.NameOrPath, VocabSize: s.VocabSize,
		TieWordEmbeddings: s.Tie, PadTokenID: raw.PadTokenID,
	}
	for _, n := range []int{s.HiddenSize, s.NEmbd, s.DModel, s.Dim} {
		if cfg.HiddenSize == 0 {
			cfg.HiddenSize = n
		}
	}
	for i := range len(raw.ID2Label) {
		label, ok := raw.ID2Label[strconv.Itoa(i)]
		if !ok {
			break
		}
		cfg.Labels = append(cfg.Labels, label)
	}
	c.config = cfg
	return nil
}

// maxFrontMatter caps the YAML that is parsed; real cards stay under 20 kB.
const maxFrontMatter = 64 << 10

func (c *Checkpoint) parseCard(data []byte) error {
	rest, ok := bytes.CutPrefix(data, []byte("---"))
	if !ok {
		return nil
	}
	front, _, ok := bytes.Cut(rest[:min(len(rest), maxFrontMatter)], []byte("\n---"))
	if !ok {
		return nil
	}
	var card struct {
		BaseModel any `yaml:"base_model"`
	}
	if err := yaml.Unmarshal(front, &card); err != nil {
		return fmt.Errorf("front matter: %s", yaml.FormatError(err, false, false))
	}
	switch v := card.BaseModel.(type) {
	case string:
		c.card.BaseModel = []string{v}
	case []any:
		for _, x := range v {
			if s, ok := x.(string); ok && len(c.card.BaseModel) < 16 {
				c.card.BaseModel = append(c.card.BaseModel, s)
			}
		}
	}
	return nil
}

func (c *Checkpoint) parseAdapter(data []byte) error {
	var raw struct {
		Base string `json:"base_model_name_or_path"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	c.adapter = raw.Base
	return nil
}

// ReadFile returns the bytes of a file of the model folder, such as
// config.json. Names do not leave the folder, and a file larger than 64 MiB is
// refused.
//
// Errors: fs.ErrNotExist where there is no such file or no folder.
func (c *Checkpoint) ReadFile(name string) ([]byte, error) {
	if c.dir == "" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f, err := openFolder(c.dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	data, err := f.read(name)
	if err == nil && data == nil {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return data, err
}
