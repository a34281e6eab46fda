package hostile

import (
	"io/fs"
	"strings"
)

// saves are the files that torch.save makes of what people save, written by
// torch itself.
func saves() []Case {
	k := class{name: "files of torch.save"}
	for _, name := range twins() {
		switch {
		case name == "training_args.bin", name == "rng_state.pt", name == "scaler.pt",
			strings.HasPrefix(name, "optimizer"), strings.HasPrefix(name, "scheduler"), strings.HasPrefix(name, "training"):
			continue // see training
		case name == "torchscript.pt":
			k.add(Case{Name: name, Tests: "A TorchScript archive holds a program, which is not judged.", Label: Notice, Files: one(name, fixture("twins/"+name)), Target: name, Exit: refused, Rules: []string{incomplete}})
			continue
		case name == "whole_module.pt":
			k.add(Case{Name: name, Tests: "A whole module, which needs its classes to load.", Label: Notice, Files: one(name, fixture("twins/"+name)), Target: name, Exit: found, Rules: []string{unsafeGlobal}})
			continue
		}
		how := "by torch 2.8"
		if strings.Contains(name, ".legacy.") {
			how = "in the format before torch 1.6"
		}
		k.good(name, "What torch.save writes "+how+": "+strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(name, ".pt"), ".legacy"), "_", " ")+".", name, fixture("twins/"+name))
	}
	return k.cases
}

// training are the files that a training run leaves beside its model.
func training() []Case {
	k := class{name: "files of a training run"}
	var all []File
	for _, name := range twins() {
		file := File{Name: name, Data: fixture("twins/" + name)}
		switch {
		case name == "training_args.bin":
			k.folder(Notice, "training_args.bin", "The settings of Hugging Face's Trainer: classes of its own, none of which a model needs.", passed, []string{trainer}, model(), file)
			k.add(Case{Name: "training_args.bin alone", Tests: "The same file by itself.", Label: Notice, Files: one(name, file.Data), Target: name, Exit: []int{2, 3}, Rules: []string{trainer}})
			continue
		case name == "rng_state.pt":
			file.Name = "rng_state.pth"
		case name == "scaler.pt", strings.HasPrefix(name, "optimizer"), strings.HasPrefix(name, "scheduler"), strings.HasPrefix(name, "training"):
		default:
			continue
		}
		k.good(name, "What a training run keeps: "+strings.ReplaceAll(strings.TrimSuffix(name, ".pt"), "_", " ")+".", file.Name, file.Data)
		k.folder(Benign, name+" beside", "The same beside the model.", passed, nil, model(), file)
		if !strings.Contains(name, ".legacy.") {
			all = append(all, file)
		}
	}
	all = append(all, model(), text("trainer_state.json", `{"global_step":7,"log_history":[{"loss":0.5}]}`), text("config.json", `{"model_type":"bert"}`), text("README.md", "---\nlicense: mit\n---\n"))
	k.folder(Benign, "a whole checkpoint folder", "All that a trainer writes.", passed, nil, all...)
	return k.cases
}

// twins lists the files that torch wrote.
func twins() []string {
	entries, err := fs.ReadDir(testdata, "testdata/twins")
	if err != nil {
		panic(err) // it is embedded
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
