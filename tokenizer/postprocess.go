package tokenizer

import (
	"unicode/utf8"
)

// A postprocessor is what is done to the tokens of a text: ids before and after
// them, and offsets that lose white space.
type postprocessor struct {
	prefix, suffix []int32
	trims          []trim

	template bool // the ids are a template's: later trims count without them
}

// A trim moves offsets past the spaces that tokens begin and end with.
type trim struct {
	prefixSpace bool // one space at the beginning was not in the text
	first       bool // the first token of the text is the first to the trim
}

func (t *builder) postprocessor(v *value, p *postprocessor) error {
	typ, err := v.kindOf()
	if err != nil {
		return err
	}
	switch typ {
	case "Sequence":
		list, err := v.list("processors")
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := t.postprocessor(e, p); err != nil {
				return err
			}
		}
		return nil
	case "ByteLevel":
		prefix, err1 := v.boolean("add_prefix_space")
		trims, err2 := v.boolean("trim_offsets")
		if trims {
			p.trims = append(p.trims, trim{prefix, p.template || len(p.prefix) == 0})
		}
		return first(err1, err2)
	case "RobertaProcessing":
		prefix, err1 := v.boolean("add_prefix_space")
		trims, err2 := v.boolean("trim_offsets")
		if err := first(err1, err2); err != nil {
			return err
		}
		if trims {
			p.trims = append(p.trims, trim{prefix, p.template || len(p.prefix) == 0})
		}
		return p.around(v)
	case "BertProcessing":
		return p.around(v)
	case "TemplateProcessing":
		return p.setTemplate(v)
	}
	return v.unsupported("post-processor", typ)
}

// around adds the ids of cls and sep.
func (p *postprocessor) around(v *value) error {
	if p.template { // the library takes the parts of a template for texts
		return v.errorf("after a template: %w", ErrUnsupported)
	}
	var ids [2]int
	for i, key := range []string{"cls", "sep"} {
		pair, err := v.list(key)
		if err != nil {
			return err
		}
		if len(pair) != 2 {
			return v.errorf("%s: token and id expected", key)
		}
		if ids[i], err = pair[1].asInteger(); err != nil {
			return err
		}
	}
	p.prefix = append([]int32{int32(ids[0])}, p.prefix...)
	p.suffix = append(p.suffix, int32(ids[1]))
	return nil
}

func (p *postprocessor) setTemplate(v *value) error {
	if p.template {
		return v.errorf("after a template: %w", ErrUnsupported)
	}
	p.template = true
	single, err := v.list("single")
	if err != nil {
		return err
	}
	specials, err := v.get("special_tokens", "{")
	if err != nil {
		return err
	}
	var before, after []int32
	seen := false
	for _, e := range single {
		if e.kind != '{' || len(e.keys) != 1 {
			return e.errorf("Sequence or SpecialToken expected")
		}
		if e.keys["Sequence"] != nil {
			sequence, err := e.get("Sequence", "{")
			if err != nil {
				return err
			}
			id, err := sequence.text("id")
			if err != nil {
				return err
			}
			if id != "A" || seen {
				return e.errorf("a template of other than one sequence A: %w", ErrUnsupported)
			}
			seen = true
			continue
		}
		special, err := e.get("SpecialToken", "{")
		if err != nil {
			return err
		}
		name, err := special.text("id")
		if err != nil {
			return err
		}
		token, err := specials.get(name, "{")
		if err != nil {
			return err
		}
		ids, err := token.list("ids")
		if err != nil {
			return err
		}
		for _, id := range ids {
			n, err := id.asInteger()
			if err != nil {
				return err
			}
			if seen {
				after = append(after, int32(n))
			} else {
				before = append(before, int32(n))
			}
		}
	}
	if !seen {
		return v.errorf("a template without sequence A: %w", ErrUnsupported)
	}
	p.prefix = append(before, p.prefix...)
	p.suffix = append(p.suffix, after...)
	return nil
}

// maxTemplate bounds the ids that a post-processor adds.
const maxTemplate = 1 << 10

// apply trims the offsets of the token with that index, in text. Hugging Face's
// process_offsets counts characters where there are spaces in the token; token
// is what it calls the token's value.
func (p *postprocessor) apply(span Span, index int, token, text []byte) Span {
	for _, t := range p.trims {
		lead, trail := spacesAround(token)
		if lead > 0 {
			if (index == 0 && t.first || span.Start == 0) && t.prefixSpace && lead == 1 {
				lead = 0
			}
			for ; lead > 0 && span.Start < span.End; lead-- {
				span.Start += int32(runeLen(text[span.Start]))
			}
			span.Start = min(span.Start, span.End)
		}
		if trail == 0 {
			continue
		}
		end := span.End
		for ; trail > 0 && end > 0; trail-- {
			_, size := utf8.DecodeLastRune(text[:end])
			end -= int32(size)
		}
		if trail == 0 { // else there are fewer characters before the end
			span.End = max(end, span.Start)
		}
	}
	return span
}

// spacesAround counts the characters at both ends of a token that are white
// space, or GPT-2's character for it.
func spacesAround(token []byte) (lead, trail int) {
	space := func(r rune) bool { return r == 'Ġ' || isSpace(r) }
	for b := token; len(b) > 0; lead++ {
		r, size := utf8.DecodeRune(b)
		if !space(r) {
			break
		}
		b = b[size:]
	}
	for b := token; len(b) > 0; trail++ {
		r, size := utf8.DecodeLastRune(b)
		if !space(r) {
			break
		}
		b = b[:len(b)-size]
	}
	return lead, trail
}
