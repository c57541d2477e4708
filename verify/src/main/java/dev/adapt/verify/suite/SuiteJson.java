package dev.adapt.verify.suite;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.verify.suite.SuiteResult.ModelResult;
import java.util.function.Function;

/** A suite's result as JSON: reports, gates, digests of all files, versions and times. */
public final class SuiteJson {
    private SuiteJson() {}

    /** The document. */
    public static String of(SuiteResult result, String version, Function<Throwable, String> sentence) {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("suite", result.name()).put("passed", result.passed()).put("seconds", result.seconds());
        Environment environment = result.environment();
        ObjectNode ran = root.putObject("environment");
        ran.put("adapt", version).put("java", environment.java()).put("system", environment.system());
        ran.put("processors", environment.processors()).put("onnxruntime", environment.onnxRuntime());
        ArrayNode providers = ran.putArray("providers");
        environment.providers().forEach(providers::add);
        ArrayNode models = root.putArray("models");
        for (ModelResult model : result.models()) {
            ObjectNode own = models.addObject();
            own.put("name", model.name()).put("passed", model.passed()).put("seconds", model.seconds());
            model.error().ifPresent(error -> own.put("error", sentence.apply(error)));
            model.report().ifPresent(report -> own.set("report", report.node()));
            ArrayNode gates = own.putArray("gates");
            model.gates()
                    .forEach(gate -> gates.addObject()
                            .put("name", gate.name())
                            .put("passed", gate.passed())
                            .put("found", gate.found()));
            ArrayNode files = own.putArray("files");
            model.files()
                    .forEach(file -> files.addObject()
                            .put("file", file.file().toString())
                            .put("bytes", file.bytes())
                            .put("sha256", file.sha256()));
        }
        return root.toPrettyString();
    }
}
