package loader

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
	AutoMap           bool // the folder asks for its own code to be run
}

// A Card is the part of a model card's front matter that we use.
type Card struct {
	BaseModel []string
}
