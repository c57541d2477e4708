package dev.adapt.tests;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A BERT small enough for any test, with random weights and a tokenizer of whole words. */
final class TinyBert {
    public static final int HIDDEN = 16;
    private static final String TOKENIZER = """
            {"version": "1.0", "added_tokens": [
               {"id": 0, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
               {"id": 1, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
               {"id": 2, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
               {"id": 3, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
             "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
             "post_processor": {"type": "TemplateProcessing",
               "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
               "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
             "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3,
               "good": 4, "bad": 5, "fine": 6, "poor": 7, "movie": 8, "book": 9, "a": 10, "the": 11, "very": 12, "not": 13}}}
            """;

    private TinyBert() {}

    /** Writes the checkpoint folder; the seed decides its weights. */
    public static Path write(Path folder, long seed) throws IOException {
        TinyModel.BERT.write(folder, seed);
        Files.writeString(folder.resolve("tokenizer.json"), TOKENIZER);
        return folder;
    }
}
