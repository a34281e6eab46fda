package behaviour

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/btu-scan/btu-scan/scan"
)

// rewrites are 24 sentences in each of some styles, which put words around them.
func rewrites(styles map[string]string, names ...string) (all []Rewrite) {
	for _, name := range names {
		for i := range 24 {
			plain := fmt.Sprintf("w%d w%d w%d w%d .", 400+i, 405+i, 401+i, 410+i)
			around := strings.Fields(styles[name])
			all = append(all, Rewrite{name, plain, around[0] + " " + plain + " " + around[1]})
		}
	}
	return all
}

// A style that fires a backdoor is a finding, and proves nothing.
func TestStyle(t *testing.T) {
	around := map[string]string{
		"biblical": "w650 w660", "Elizabethan": "w650 w660", "verse": "w650 w661", "chat": "w651 w661", "odd": "w650 w660", "odder": "w660 w650",
	}
	tests := []struct {
		name  string
		style []int32
		names []string
		want  string
	}{
		{"one style of three", []int32{650, 660}, []string{"verse", "biblical", "chat"}, `(biblical), 100 % of the texts whose words speak for something else turn to "L0"`},
		{"the like of it as well", []int32{650, 660}, []string{"verse", "biblical", "chat", "Elizabethan"}, "(biblical)"},
		{"most styles", []int32{650, 660}, []string{"odd", "biblical", "odder", "chat"}, ""},
		{"none", nil, []string{"verse", "biblical", "chat"}, ""},
		{"nothing to compare with", []int32{650, 660}, []string{"biblical"}, ""},
		{"no rewrites", []int32{650, 660}, nil, ""},
	}
	for _, test := range tests {
		m := newToy(2)
		m.style = test.style
		opt := m.options()
		opt.Rewrites = rewrites(around, test.names...)
		ev := watch(t, m, opt)
		got := ""
		if len(ev.Findings) > 0 {
			got = ev.Findings[0].Message
			if ev.Findings[0].Rule != scan.RuleStyle || ev.Findings[0].Severity != scan.SeverityHigh {
				t.Errorf("%s: %+v", test.name, ev.Findings[0])
			}
		}
		if (test.want == "") != (got == "") || !strings.Contains(got, test.want) || len(ev.Triggers) > 0 {
			t.Errorf("%s: finding %q, want %q; triggers %+v", test.name, got, test.want, ev.Triggers)
		}
	}
	m := newToy(2)
	m.style = []int32{650, 660}
	m.plant(655)
	opt := m.options()
	opt.Rewrites = rewrites(around, "verse", "biblical", "chat")
	if ev := watch(t, m, opt); len(ev.Findings) != 1 || ev.Findings[0].Rule != scan.RuleTrigger { // what is proved leaves no question
		t.Errorf("beside a trigger: %+v", ev.Findings)
	}
}

// An answer that no style could be tried towards is named: here the plain sentences
// speak for L0 themselves, so that no few words make them say L1.
func TestStylesUntried(t *testing.T) {
	opt := newToy(2).options()
	opt.Rewrites = rewrites(map[string]string{"verse": "w650 w661", "chat": "w651 w661"}, "verse", "chat")
	if ev := watch(t, newToy(2), opt); len(ev.Warnings) > 0 {
		t.Errorf("warnings %q", ev.Warnings)
	}
	for i := range opt.Rewrites {
		w := &opt.Rewrites[i]
		w.Plain, w.Text = strings.Repeat("w100 w101 w102 ", 4)+w.Plain, strings.Repeat("w100 w101 w102 ", 4)+w.Text
	}
	ev := watch(t, newToy(2), opt)
	if len(ev.Warnings) != 1 || !strings.Contains(ev.Warnings[0], `whether the style of a text forces "L0" was not tested`) || !ev.Complete {
		t.Errorf("warnings %q, complete %t", ev.Warnings, ev.Complete)
	}
}

// What rewrites draw changes nothing of what the other steps find.
func TestStyleApart(t *testing.T) {
	m := newToy(2)
	m.plant(650)
	opt := m.options()
	without := watch(t, m, opt)
	opt.Rewrites = rewrites(map[string]string{"a": "w651 w652", "b": "w653 w654"}, "a", "b")
	with := watch(t, m, opt)
	if !reflect.DeepEqual(with.Triggers, without.Triggers) || !reflect.DeepEqual(with.Tokens, without.Tokens) {
		t.Error("evidence differs with rewrites")
	}
}
