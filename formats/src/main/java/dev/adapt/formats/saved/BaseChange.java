package dev.adapt.formats.saved;

import dev.adapt.formats.adapter.PromptFormat;
import dev.adapt.formats.graph.Head;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * What an adapter changes in its base's folder beside its tensors.
 *
 * @param head the classification head it brings
 * @param task what the name of transformers' class for the task ends with, such as {@code ForTokenClassification}, where it
 *     is another than the base's
 * @param vocabulary the number of words, where it brings a table of another size
 * @param unties whether a head that was the embedding table becomes a tensor of its own
 * @param tokenizer the folder of the adapter, whose tokenizer belongs to a vocabulary of another size
 * @param prompt how prompts were laid out in training
 * @param sentences the folder of the adapter, whose {@code modules.json} says how token states become a vector: the model is
 *     then the bare encoder
 */
public record BaseChange(
        Optional<Head> head,
        Optional<String> task,
        OptionalInt vocabulary,
        boolean unties,
        Optional<Path> tokenizer,
        Optional<PromptFormat> prompt,
        Optional<Path> sentences) {
    /** A change by a head alone, or none. */
    public static BaseChange of(Optional<Head> head) {
        return new BaseChange(
                head,
                Optional.empty(),
                OptionalInt.empty(),
                false,
                Optional.empty(),
                Optional.empty(),
                Optional.empty());
    }

    /** The same with another head, which is one of the base's own class for classification. */
    public BaseChange with(Head own) {
        return new BaseChange(Optional.of(own), Optional.empty(), vocabulary, unties, tokenizer, prompt, sentences);
    }

    /** The same with this layout of prompts. */
    public BaseChange with(PromptFormat own) {
        return new BaseChange(head, task, vocabulary, unties, tokenizer, Optional.of(own), sentences);
    }

    /** The same of an adapter whose folder says how a text becomes one vector. */
    public BaseChange withSentences(Path folder) {
        return new BaseChange(head, task, vocabulary, unties, tokenizer, prompt, Optional.of(folder));
    }

    /** Whether the model stays as it is; how its prompts are laid out and its states are pooled is no part of it. */
    public boolean isEmpty() {
        return head.isEmpty() && task.isEmpty() && vocabulary.isEmpty() && !unties;
    }
}
