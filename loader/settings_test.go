package loader

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	for _, tt := range []struct{ text, says string }{
		{`{% for m in messages %}<|im_start|>{{ m['role'] + '\n' + m.content | trim }}<|im_end|>{% endfor %}`, ""},
		{`{%- if tools is not none %}{{ tools | tojson(indent=4) }}{%- endif %}{{ raise_exception('no __class__ here'[0]) }}`, `"__class__"`},
		{`import os; __class__ in plain text is text {# {{ x.__class__ }} #}`, ""},
		{`{{ ''.__class__ }}`, `hidden attribute "__class__"`},
		{`{{ x['__glo' ~ 'bals__'] }}`, `"__globals__" in a string`},
		{`{{ x['\x5f\x5fclass\x5f\x5f'] }}`, `"__class__"`},
		{`{{ x['\137_mro__'] }}`, `"__mro__"`},
		{`{{ {'a': {'b': 1}}}}{{ x|attr('y') }}`, "filter attr"},
		{`{{ {'a': "}}"}['a'] }}{{ x.popen('true') }}`, "calls popen"},
		{`{{ x | map("attr", "y") }}`, "filter attr"},
		{`{{ cycler['x'] }}`, "cycler"},
		{`{% set c = cycler('a', 'b') %}{{ c.next() }}`, ""},
		{`{%- include 'x' -%}`, "loads another template"},
		{`{% for a in range(3000) %}{% for b in range(3000) %}x{% endfor %}{% endfor %}`, "loops 9e+06"},
		{`{% for a in range(3000) %}x{% endfor %}{% for b in range(3000) %}x{% endfor %}`, ""},
		{`{{ 'a' * 3000 * 3000 }}`, "counts to 9e+06"},
		{`{{ 2 ** 40 }}`, "counts to"},
		{`{{ 'a' * 1_000_000_000 }}`, "counts to 1e+09"},
		{`{% set a = a ~ a %}`, "doubles"},
		{`{% macro system(x) %}{{ x }}{% endmacro %}{{ system('s') }}`, ""},
		{`{{ os.system('true') }}`, "module os"},
		{`{{ x.__class__`, "hidden"},
		{`{{ 'x`, ""}, {`{`, ""}, {`{{`, ""}, {`{% `, ""}, {`{#`, ""}, {"{{ '\\", ""}, {"{{ 9", ""}, {"{{ 0x_ }}", "counts to"},
	} {
		var s settings
		s.template("t", tt.text)
		var got []string
		for _, f := range s.findings {
			got = append(got, f.Detail)
		}
		if all := strings.Join(got, "; "); (all == "") != (tt.says == "") || !strings.Contains(all, tt.says) {
			t.Errorf("%s: %q, want %q", tt.text, all, tt.says)
		}
	}
}

func TestSettings(t *testing.T) {
	const risky = "import subprocess\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		finds []string // "RULE severity where"
	}{
		{name: "nothing", files: map[string]string{"config.json": `{"a": [1, {"b": "auto_map"}], "c": NaN, "d": "NaN", "e": -Infinity}`}},
		{name: "local code", files: map[string]string{"config.json": `{"auto_map": {"AutoModel": "m.X", "AutoConfig": "m.Y"}}`, "m.py": "import torch\n"},
			finds: []string{"BTU110 warning config.json"}},
		{name: "risky code", files: map[string]string{"config.json": `{"auto_map": {"AutoModel": "m.X"}}`, "m.py": "#\n" + risky},
			finds: []string{"BTU110 warning config.json", "BTU110 high m.py@2"}},
		{name: "risky code of another module", files: map[string]string{"tokenizer_config.json": `{"auto_map": {"AutoTokenizer": ["m.X", null]}}`, "m.py": "", "n.py": risky},
			finds: []string{"BTU110 warning tokenizer_config.json", "BTU110 high n.py@0"}},
		{name: "code of another model", files: map[string]string{"config.json": `{"auto_map": {"AutoModel": "o/r--m.X"}}`}, finds: []string{"BTU110 high config.json"}},
		{name: "code elsewhere", files: map[string]string{"config.json": `{"auto_map": {"AutoModel": "../m.X"}}`}, finds: []string{"BTU110 high config.json"}},
		{name: "code missing", files: map[string]string{"config.json": `{"auto_map": {"AutoModel": "m.X"}}`}, finds: []string{"BTU110 warning config.json"}},
		{name: "unasked", files: map[string]string{"m.py": risky}, finds: []string{"BTU110 info m.py"}},
		{name: "served", files: map[string]string{"handler.py": risky}, finds: []string{"BTU110 high handler.py@0"}},
		{name: "generation", files: map[string]string{"custom_generate/generate.py": risky}, finds: []string{"BTU110 high custom_generate/generate.py@0"}},
		{name: "nested", files: map[string]string{"config.json": `{"text_config": {"auto_map": {"AutoModel": "o/r--m.X"}}}`}, finds: []string{"BTU110 high config.json"}},
		{name: "target", files: map[string]string{"model_config.json": `{"x": [{"_target_": "builtins.exec"}, {"_target_": "torch.nn.Linear"}]}`}, finds: []string{"BTU110 high model_config.json"}},
		{name: "stated twice", files: map[string]string{"config.json": `{"auto_map": {"AutoModel": "o/r--m.X"}, "auto_map": {}}`}, finds: []string{"BTU201 high config.json@", "BTU110 high config.json"}},
		{name: "no JSON", files: map[string]string{"config.json": `{"a": }`}, finds: []string{"BTU200 high config.json@6"}},
		{name: "template", files: map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "default", "template": "{{ x.__class__ }}"}]}`}, finds: []string{"BTU111 high tokenizer_config.json"}},
		{name: "template of its own", files: map[string]string{"additional_chat_templates/a.jinja": "{{ x.__class__ }}", "chat_template.json": `{"chat_template": "{{ os.x }}"}`},
			finds: []string{"BTU111 high chat_template.json", "BTU111 high additional_chat_templates/a.jinja"}},
		{name: "too large", files: map[string]string{"chat_template.jinja": strings.Repeat("x", maxSettings+1)}, finds: []string{"BTU900 warning chat_template.jinja"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f, err := openFolder(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.close()
			got := lookAtSettings(f)
			if len(got) != len(tt.finds) {
				t.Fatalf("findings %+v, want %v", got, tt.finds)
			}
			for i, f := range got {
				if s := f.Rule + " " + string(f.Severity) + " " + strings.TrimPrefix(f.Where, dir+"/"); !strings.HasPrefix(s, tt.finds[i]) {
					t.Errorf("finding %d is %s (%s), want %s", i, s, f.Detail, tt.finds[i])
				}
			}
		})
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(`{% for m in messages %}{{ m['role'] ~ '\x5f' }}{% endfor %}`)
	f.Fuzz(func(t *testing.T, text string) {
		var s settings
		s.template("t", text)
		if len(s.findings) > maxTemplateHazards {
			t.Errorf("%d findings", len(s.findings))
		}
	})
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"auto_map": {"AutoModel": ["m.X", null]}, "chat_template": [{"name": "a", "template": "{{ 1 }}"}], "x": NaN}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s settings
		s.json("config.json", data)
		s.code()
		if len(s.findings) > maxSettingsFindings {
			t.Errorf("%d findings", len(s.findings))
		}
	})
}
