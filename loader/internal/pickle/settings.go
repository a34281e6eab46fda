package pickle

import "strings"

// settings are the classes that a trainer's settings (training_args.bin of
// Hugging Face's Trainer) are made of, by their exact names: their libraries
// have functions, too, that run what they are given. A stream may make them as
// Python's pickler does: an object is set up from its attributes without its
// constructor, a member of an enumeration is looked up by its value.
var settings = func() map[name]use {
	m := make(map[name]use)
	add := func(u use, module, names string) {
		for _, n := range strings.Fields(names) {
			m[name{module, n}] = u
		}
	}
	const object, enum = useName | useNew | useBuild, useName | useCall
	add(object, "transformers.training_args", "TrainingArguments")
	add(object, "transformers.training_args_seq2seq", "Seq2SeqTrainingArguments")
	add(object, "transformers.trainer_pt_utils", "AcceleratorConfig")
	add(object, "transformers.integrations.deepspeed", "HfDeepSpeedConfig HfTrainerDeepSpeedConfig")
	add(object, "transformers.deepspeed", "HfDeepSpeedConfig HfTrainerDeepSpeedConfig")
	add(object, "accelerate.state", "PartialState AcceleratorState")
	add(object, "sentence_transformers.training_args", "SentenceTransformerTrainingArguments")
	for _, kind := range []string{"sft", "dpo", "kto", "orpo", "cpo", "ppo", "grpo"} {
		add(object, "trl.trainer."+kind+"_config", strings.ToUpper(kind)+"Config")
	}
	add(object, "trl.trainer.reward_config", "RewardConfig")

	add(enum, "transformers.training_args", "OptimizerNames ParallelMode")
	add(enum, "transformers.trainer_utils", "IntervalStrategy EvaluationStrategy SaveStrategy SchedulerType HubStrategy FSDPOption ShardedDDPOption")
	add(enum, "transformers.debug_utils", "DebugOption")
	add(enum, "accelerate.utils.dataclasses", "DistributedType")
	add(enum, "sentence_transformers.training_args", "BatchSamplers MultiDatasetBatchSamplers")
	return m
}()
