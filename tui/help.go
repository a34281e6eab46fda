package tui

import (
	"slices"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
)

func (m *model) helpKey(k tea.KeyPressMsg) tea.Cmd {
	switch {
	case key.Matches(k, m.keys.Help, m.keys.Escape, m.keys.Quit):
		m.help = false
	default:
		m.scroll(k, &m.helpTop)
	}
	return nil
}

// renderHelp lists all keys; what cannot be done says why.
func (m *model) renderHelp(w, h int) string {
	var blocks [][]string
	for _, g := range m.keys.groups() {
		b := []string{heading(g.title)}
		for _, k := range g.keys {
			b = append(b, bold.Render(fit(k.Help().Key, 10))+" "+k.Help().Desc)
		}
		blocks = append(blocks, append(b, ""))
	}
	lines := []string{""}
	if w < 76 {
		lines = append(lines, slices.Concat(blocks...)...)
	} else {
		n := 2
		if w >= wide {
			n = 3
		}
		cols := make([][]string, n)
		for _, b := range blocks { // into the shortest column
			least := 0
			for i := range cols {
				if len(cols[i]) < len(cols[least]) {
					least = i
				}
			}
			cols[least] = append(cols[least], b...)
		}
		each := (w - 2*(n-1)) / n
		all := cols[0]
		width := each
		for _, c := range cols[1:] {
			all = columns(all, width, c, each)
			width += each + 2
		}
		lines = append(lines, all...)
	}
	for _, f := range []struct {
		what string
		why  string
	}{
		{"all rows", m.b.Lacks(FeatureRows)}, {"rows and neighbours", m.b.Lacks(FeatureToken)}, {"try it", m.b.Lacks(FeatureTry)},
		{"repair", m.b.Lacks(FeatureRepair)}, {"scan again", m.b.Lacks(FeatureRescan)}, {"deciding", m.decisionsWait},
	} {
		if f.why != "" {
			lines = append(lines, field("not here", f.what+": "+plain(f.why), w, warn)...)
		}
	}
	lines = append(lines, field("signs", "! abnormal, ~ borderline, = overwritten; T trigger, b benign, ? unsure (you say), e expired", w, none)...)
	lines = append(lines, field("mouse", "the wheel scrolls; a click chooses a row or a screen, a second one opens it; with shift the terminal selects text", w, none)...)
	lines = append(lines, field("decisions", plain(m.opt.Triage), w, none)...)
	return block(lines, w, h, &m.helpTop)
}
