package dev.adapt.formats.saved;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.tensor.Tensor;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * What an adapter changes in the task of its base.
 *
 * @param head a classification head for another number of classes; PEFT does not say what they are called
 * @param task what the name of transformers' class for the task ends with, where the base's class is another
 */
record TaskChange(Optional<Head> head, Optional<String> task) {
    private static final String SEQUENCE = "ForSequenceClassification";
    private static final String ANSWERS = "ForQuestionAnswering";

    /** The ends of the names of transformers' classes, by PEFT's {@code task_type}. */
    private static final Map<String, String> CLASSES =
            Map.of("SEQ_CLS", SEQUENCE, "TOKEN_CLS", ModelConfig.TOKEN_CLASSES, "QUESTION_ANS", ANSWERS);

    /**
     * The change.
     *
     * @param saved the tensors that the adapter holds whole and that differ from the base's, by canonical name
     */
    static TaskChange of(Adapter adapter, TensorNames names, Optional<JsonDocument> config, Map<String, Tensor> saved) {
        Optional<String> asked = adapter.config().document().string("task_type").map(CLASSES::get);
        String className = names.className();
        boolean held = saved.keySet().stream().anyMatch(names::isOfTaskHead);
        if (config.isEmpty() || !held) {
            return new TaskChange(Optional.empty(), Optional.empty());
        }
        int at = className.indexOf("For");
        Optional<String> own = at < 0 ? Optional.empty() : Optional.of(className.substring(at));
        Optional<String> task = own.filter(TaskChange::isHeaded).isPresent() ? own : asked;
        int before = own.filter(TaskChange::isHeaded).isPresent() ? labels(config.get()) : 0;
        Optional<Head> head = classes(saved)
                .filter(classes ->
                        classes != before && task.filter(ANSWERS::equals).isEmpty())
                .map(classes -> head(classes, names, task));
        // the family's own class for classification needs no name: it is the usual one
        Optional<String> named = task.filter(ending -> !ending.equals(SEQUENCE) && !own.equals(task));
        return new TaskChange(head, head.isPresent() ? named.or(() -> unusual(own)) : named);
    }

    private static boolean isHeaded(String ending) {
        return Stream.of("Classification", "QuestionAnswering", "MultipleChoice")
                .anyMatch(ending::endsWith);
    }

    private static Optional<String> unusual(Optional<String> own) {
        return own.filter(TaskChange::isHeaded)
                .filter(ending -> !ending.equals(SEQUENCE) && !ending.equals("ForImageClassification"));
    }

    private static Optional<Integer> classes(Map<String, Tensor> saved) {
        return Stream.of(Head.MODULE + ".out_proj", Head.MODULE, Head.SCORE)
                .flatMap(module -> Optional.ofNullable(saved.get(module + ".weight")).stream())
                .findFirst()
                .map(weight -> (int) weight.shape().dim(0));
    }

    private static int labels(JsonDocument config) {
        int named = config.json().path("id2label").size();
        // transformers leaves id2label out for its default of two classes
        return named > 0 ? named : config.json().path("num_labels").asInt(2);
    }

    private static Head head(int classes, TensorNames names, Optional<String> task) {
        boolean tokens = task.filter(ModelConfig.TOKEN_CLASSES::equals).isPresent();
        return new Head(
                tokens ? Pooling.TOKENS : names.pooling(),
                IntStream.range(0, classes).mapToObj(id -> "LABEL_" + id).toList());
    }
}
