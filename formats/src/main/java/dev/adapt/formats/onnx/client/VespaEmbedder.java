package dev.adapt.formats.onnx.client;

import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.model.Model;

/** The component of Vespa's services.xml that embeds texts by a model in the application's folder {@code models}. */
final class VespaEmbedder {
    private VespaEmbedder() {}

    static String of(ClientFolder folder, Model model, int longest) {
        boolean types = folder.tokenTypes()
                && model.architecture().inputs().stream().map(InputSpec::name).anyMatch("token_type_ids"::equals);
        return """
                <!-- In services.xml, within <container>; model.onnx and tokenizer.json in the application's folder models. -->
                <component id="embedder" type="hugging-face-embedder">
                    <transformer-model path="models/model.onnx"/>
                    <tokenizer-model path="models/tokenizer.json"/>
                    <max-tokens>%d</max-tokens>
                %s    <transformer-output>last_hidden_state</transformer-output>
                    <pooling-strategy>%s</pooling-strategy>
                    <normalize>%s</normalize>
                </component>
                """.formatted(
                        longest,
                        types ? "" : "    <transformer-token-type-ids/>\n",
                        ClientFolder.name(folder.vectors().pooling()),
                        folder.vectors().normalized());
    }
}
