package loader

// A Vocabulary maps token ids to the pieces the tokenizer files give them.
type Vocabulary struct {
	tokens  []string // by id; "" where the files name none
	special map[int]bool
}
