package hostile

import (
	"encoding/json"
	"fmt"
	"strings"
)

// model is the honest tensor file of folders whose other files matter.
func model() File {
	return File{Name: "model.safetensors", Data: safetensors(tensorEntry("wte.weight", "F32", "[2,2]", 0, 16), 16)}
}

// beside is a folder with an honest model and other files.
func (k *class) beside(label Label, name, tests string, exit []int, rule string, files ...File) {
	var rules []string
	if rule != "" {
		rules = []string{rule}
	}
	k.folder(label, name, tests, exit, rules, append([]File{model()}, files...)...)
}

// Modules of models: one as they are, one that does more.
const (
	plainModule = "import math\n\nimport torch\nfrom torch import nn\n\n\nclass X(nn.Module):\n    def forward(self, x):\n        self.eval()\n        return torch.relu(x)\n"
	riskyModule = "import subprocess\n\nfrom torch import nn\n\n\nclass X(nn.Module):\n    def __init__(self):\n        subprocess.run([\"true\"])\n"
)

// settings are configurations and modules that make a library run code.
func settings() []Case {
	k := class{name: "settings and code"}
	auto := func(code string) string { return fmt.Sprintf(`{"model_type":"x","auto_map":{"AutoModel":%q}}`, code) }
	k.beside(Malicious, "code of another model", "auto_map names code of another repository, which can change after any review.", found, customCode, text("config.json", auto("owner/other--modeling.X")))
	k.beside(Malicious, "code of another model, tokenizer", "The same in the tokenizer's settings.", found, customCode, text("tokenizer_config.json", `{"auto_map":{"AutoTokenizer":["owner/other--tok.X",null]}}`))
	k.beside(Malicious, "code of another model, processor", "The same in a processor's settings.", found, customCode, text("preprocessor_config.json", `{"auto_map":{"AutoProcessor":"owner/other--p.X"}}`))
	k.beside(Malicious, "code of another model, nested", "auto_map below text_config.", found, customCode, text("config.json", `{"text_config":{"auto_map":{"AutoModel":"owner/other--m.X"}}}`))
	k.beside(Malicious, "code outside the folder", "auto_map leaves the folder.", found, customCode, text("config.json", auto("../other/modeling.X")))
	k.beside(Malicious, "code that starts programs", "auto_map names a module that imports subprocess.", found, customCode, text("config.json", auto("modeling.X")), text("modeling.py", riskyModule))
	k.beside(Malicious, "code that starts programs, indirectly", "The named module is plain and imports another that is not.", found, customCode, text("config.json", auto("modeling.X")), text("modeling.py", "from .helper import *\n"+plainModule), text("helper.py", riskyModule))
	for _, m := range [][2]string{
		{"os.system", `os.system("true")`}, {"exec", `exec("pass")`}, {"eval of text", `x = eval("1")`}, {"socket", "import socket"}, {"ctypes", "import ctypes"},
		{"__import__", `__import__("os")`}, {"builtins", `f = __builtins__["eval"]`}, {"urllib", "import urllib.request"}, {"pickle", "import pickle"},
	} {
		name, line := m[0], m[1]
		k.beside(Malicious, "module with "+name, "A module that auto_map names, with "+name+".", found, customCode, text("config.json", auto("modeling.X")), text("modeling.py", "import os\n"+line+"\n"+plainModule))
	}
	k.beside(Malicious, "handler.py", "A module that a serving platform loads by its name.", found, customCode, text("handler.py", riskyModule))
	k.beside(Malicious, "custom_generate", "A generation loop that the folder brings.", found, customCode, text("custom_generate/generate.py", riskyModule))
	k.beside(Malicious, "custom_generate of another model", "Generation settings that name another repository's loop.", found, customCode, text("generation_config.json", `{"custom_generate":"owner/other"}`))
	k.beside(Malicious, "custom pipeline", "A pipeline of another repository.", found, customCode, text("config.json", `{"custom_pipelines":{"x":{"impl":"owner/other--p.X"}}}`))
	k.beside(Malicious, "_target_ of builtins", "A configuration library would call builtins.exec.", found, customCode, text("model_config.json", `{"encoder":{"_target_":"builtins.exec","_args_":["pass"]}}`))
	k.beside(Malicious, "_target_ of os", "The same with os.system, deep in a list.", found, customCode, text("config.json", `{"a":[{"b":[{"_target_":"os.system"}]}]}`))
	k.beside(Malicious, "auto_map twice", "auto_map is stated twice: Python takes the second, others the first.", found, ambiguous, text("config.json", `{"auto_map":{"AutoModel":"owner/other--m.X"},"auto_map":{}}`))
	k.beside(Malicious, "auto_map with an escape", "The key is spelled with an escape.", found, customCode, text("config.json", `{"\u0061uto_map":{"AutoModel":"owner/other--m.X"}}`))
	k.beside(Malicious, "no JSON", "config.json breaks off.", found, malformed, text("config.json", `{"auto_map":{"AutoModel":"m.X"},`))
	k.beside(Malicious, "settings of 9 MB", "Settings too large to be looked at.", passed, incomplete, text("config.json", `{"a":"`+strings.Repeat("x", 9<<20)+`"}`))
	k.beside(Malicious, "link out of the folder", "config.json is a link to a file outside.", passed, incomplete, File{Name: "config.json", Link: "/etc/passwd"})
	k.beside(Malicious, "deep JSON", "Settings of 100,000 brackets.", found, malformed, text("config.json", strings.Repeat("[", 100_000)))

	k.beside(Notice, "code of the folder", "auto_map names a plain module of the folder: nothing runs it without trust.", passed, customCode, text("config.json", auto("modeling.X")), text("modeling.py", plainModule))
	k.beside(Notice, "script beside the model", "A script that no settings ask for.", passed, customCode, text("train.py", riskyModule))
	k.beside(Notice, "trust_remote_code", "Settings that ask for trust.", passed, customCode, text("config.json", `{"trust_remote_code":true}`))
	k.beside(Benign, "BERT", "The settings of a classifier.", passed, "", text("config.json", `{"architectures":["BertForSequenceClassification"],"model_type":"bert","id2label":{"0":"neg","1":"pos"},"hidden_size":2,"vocab_size":2}`),
		text("tokenizer_config.json", `{"do_lower_case":true,"model_max_length":1000000000000000019884624838656,"tokenizer_class":"BertTokenizer"}`))
	k.beside(Benign, "NaN", "Settings with numbers that only Python writes.", passed, "", text("config.json", `{"eps":NaN,"max":Infinity,"min":-Infinity,"note":"NaN of Infinity"}`))
	k.beside(Benign, "target of torch", "A configuration library's class of torch.", passed, "", text("model_config.json", `{"encoder":{"_target_":"torch.nn.Linear"}}`))
	k.beside(Benign, "words in texts", "The words that are looked for, in texts.", passed, "", text("config.json", `{"note":"auto_map, trust_remote_code and os.system","auto_maps":1}`))
	k.beside(Benign, "generation", "Generation settings.", passed, "", text("generation_config.json", `{"eos_token_id":[1,2],"do_sample":true,"temperature":0.6}`))
	return k.cases
}

// templates are chat templates; Jinja programs.
func templates() []Case {
	k := class{name: "chat templates"}
	in := func(t string) File {
		b, err := json.Marshal(map[string]string{"chat_template": t})
		if err != nil {
			panic(err)
		}
		return File{Name: "tokenizer_config.json", Data: b}
	}
	for i, c := range []struct{ name, tests, text string }{
		{"class", "Attributes of Python's internals.", `{{ ''.__class__.__mro__[1].__subclasses__() }}`},
		{"globals", "The globals of a function.", `{% for m in messages %}{{ x.__init__.__globals__ }}{% endfor %}`},
		{"cycler", "A helper of Jinja that leads to os.", `{{ cycler.__init__.__globals__.os.popen('true').read() }}`},
		{"lipsum", "Another helper.", `{{ lipsum.__globals__['os'].popen('true') }}`},
		{"self", "The template itself.", `{{ self._TemplateReference__context }}`},
		{"joiner", "A third helper.", `{{ joiner['__init__'] }}`},
		{"subscript", "The name in a string.", `{{ messages['__class__'] }}`},
		{"filter attr", "The filter attr.", `{{ messages|attr('x') }}`},
		{"map attr", "attr by map.", `{{ [messages]|map('attr', 'x')|list }}`},
		{"map attribute", "A hidden name as an argument of map.", `{{ [messages]|map(attribute='__class__')|list }}`},
		{"joined string", "The name put together.", `{{ messages['__cla' ~ 'ss__'] }}`},
		{"hexadecimal", "The name in escapes.", `{{ messages['\x5f\x5fclass\x5f\x5f'] }}`},
		{"octal", "The name in other escapes.", `{{ messages['\137\137class\137\137'] }}`},
		{"import", "Another template is imported.", `{% import 'other' as o %}{{ o }}`},
		{"include", "Another template is included.", `{% include '/etc/passwd' %}`},
		{"extends", "Another template is extended.", `{%- extends 'other' -%}`},
		{"os", "os is called.", `{{ os.system('true') }}`},
		{"eval", "eval is called.", `{{ eval('1') }}`},
		{"popen of an attribute", "popen, however it was reached.", `{{ x.y.popen('true') }}`},
		{"generator frame", "The frame of a generator.", `{{ g.gi_frame.f_back }}`},
		{"behind braces", "The code follows a dict whose braces look like the end.", `{{ {'a': {'b': 1}}}}{{ x.__class__ }}`},
		{"behind a string", "The code follows a string that looks like the end.", `{{ "}}" ~ x.__class__ }}`},
		{"unfinished", "The block never ends.", `{{ x.__class__`},
		{"loops", "Nested loops of 10^12 turns.", `{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}x{% endfor %}{% endfor %}{% endfor %}`},
		{"long string", "A string of 10^10 characters.", `{{ 'x' * 10000000000 }}`},
		{"power", "A power that never ends.", `{{ 9 ** 9 ** 9 }}`},
		{"doubling", "A text that doubles in a loop.", `{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set s = s ~ s %}{% endfor %}`},
	} {
		files := [][]File{
			{in(c.text)},
			{text("chat_template.jinja", c.text)},
			{{Name: "chat_template.json", Data: in(c.text).Data}},
			{text("additional_chat_templates/tool.jinja", c.text)},
		}
		k.beside(Malicious, c.name, c.tests, found, template, files[i%len(files)]...)
	}
	k.beside(Malicious, "among several", "The second of several named templates.", found, template, text("tokenizer_config.json", `{"chat_template":[{"name":"default","template":"{{ 1 }}"},{"name":"tool_use","template":"{{ x.__class__ }}"}]}`))
	k.beside(Malicious, "too large", "A template of 9 MB.", passed, incomplete, text("chat_template.jinja", strings.Repeat("x", 9<<20)))

	for i, c := range []struct{ name, text string }{
		{"headers", `{{- bos_token }}{%- for message in messages %}{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}`},
		{"ChatML", `{%- for message in messages %}{%- if loop.first and messages[0]['role'] != 'system' %}{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{%- endif %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{%- endfor %}`},
		{"brackets", `{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}`},
		{"tools", `{%- if tools %}{{- "# Tools\n\nYou may call one or more functions.\n<tools>" }}{%- for tool in tools %}{{- "\n" }}{{- tool | tojson }}{%- endfor %}{{- "\n</tools>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}" }}{%- endif %}{%- for tool_call in message.tool_calls %}{%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}{{- tool_call.arguments | tojson }}{%- endfor %}`},
		{"namespace", `{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}{%- if ns.multi_step_tool and message.role == "user" and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}{%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}{%- endif %}{%- endfor %}`},
		{"thinking", `{%- if '</think>' in content %}{%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}`},
		{"macro", `{%- macro json_to_python_type(spec) %}{%- if spec.type == "array" %}{{- "list[" + json_to_python_type(spec["items"]) + "]" }}{%- elif spec.type is string %}{{- {"string": "str", "integer": "int"}[spec.type] }}{%- endif %}{%- endmacro %}{{ json_to_python_type(tools[0].parameters) }}`},
		{"dates", `{%- if not date_string is defined %}{%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}{%- endif %}{{- "Cutting Knowledge Date: December 2023\nToday Date: " + date_string }}`},
		{"code in texts", `{{- "Environment: ipython\nYou may import os and call eval(x), exec(x) or x.system(y); write {{ and }} freely.\n" }}{# {{ x.__class__ }} #}import os; x.__class__`},
		{"system variable", `{% set system = messages[0]['content'] %}{% for m in messages[1:] %}{{ '<<SYS>>\n' + system + '\n<</SYS>>\n\n' if loop.first else '' }}{{ m['content'] | trim }}{% endfor %}`},
		{"generation", `{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}{{ '%s: %s' | format(a, b) }}{{ x | selectattr('role', 'equalto', 'user') | list | last }}`},
	} {
		files := []File{in(c.text), text("chat_template.jinja", c.text)}
		k.beside(Benign, c.name, "A template in the idiom of a common model: "+c.name+".", passed, "", files[i%2])
	}
	return k.cases
}

// tokenizers are vocabularies that readers take differently or choke on.
func tokenizers() []Case {
	k := class{name: "tokenizers"}
	vocab := func(v, added string) File {
		return text("tokenizer.json", `{"version":"1.0","added_tokens":[`+added+`],"model":{"type":"BPE","vocab":`+v+`,"merges":[]}}`)
	}
	k.beside(Malicious, "id twice", "Two tokens with one id.", found, ambiguous, vocab(`{"a":0,"b":1,"c":1}`, ""))
	k.beside(Malicious, "added id twice", "Two added tokens with one id.", found, ambiguous, vocab(`{"a":0}`, `{"id":1,"content":"x"},{"id":1,"content":"y"}`))
	k.beside(Malicious, "huge id", "An id of 2^31-1.", found, malformed, vocab(`{"a":0,"b":2147483647}`, ""))
	k.beside(Malicious, "huge added id", "An added token with an id of 2^31-1.", found, malformed, vocab(`{"a":0}`, `{"id":2147483647,"content":"x"}`))
	k.beside(Malicious, "negative id", "An id of -1.", found, malformed, vocab(`{"a":-1}`, ""))
	k.beside(Malicious, "id over 2^64", "An id that needs 65 bits.", found, malformed, vocab(`{"a":18446744073709551616}`, ""))
	k.beside(Malicious, "id of text", "An id that is a string.", found, malformed, vocab(`{"a":"0"}`, ""))
	k.beside(Malicious, "no JSON", "A tokenizer that breaks off.", found, malformed, text("tokenizer.json", `{"model":{"vocab":{"a":0`))
	k.beside(Malicious, "deep", "A tokenizer of 100,000 brackets.", found, malformed, text("tokenizer.json", `{"model":`+strings.Repeat("[", 100_000)))
	k.beside(Malicious, "vocab.json id twice", "Two tokens with one id in vocab.json.", found, ambiguous, text("vocab.json", `{"a":0,"b":0}`))
	k.beside(Benign, "BPE", "A small vocabulary.", passed, "", vocab(`{"a":0,"b":1}`, `{"id":2,"content":"<s>","special":true}`))
	k.beside(Benign, "added token in the vocabulary", "An added token that the vocabulary has, too.", passed, "", vocab(`{"a":0,"<s>":1}`, `{"id":1,"content":"<s>","special":true}`))
	k.beside(Benign, "gaps", "Ids with gaps between them.", passed, "", vocab(`{"a":0,"b":7}`, ""))
	k.beside(Benign, "Unigram", "Pieces with scores.", passed, "", text("tokenizer.json", `{"model":{"type":"Unigram","vocab":[["<unk>",0],["a",-1.5]]}}`))
	k.beside(Benign, "escape in a token", "A token that writes to the terminal.", passed, "", vocab(`{"a":0,"\u001b[31m":1}`, ""))
	k.beside(Benign, "vocab.txt", "A vocabulary of lines.", passed, "", text("vocab.txt", "[PAD]\n[UNK]\n"))
	return k.cases
}
