package dev.adapt.cli.train;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Methods;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.MethodType;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** What {@code --method} names. */
sealed interface TrainedMethod {
    /** A method that adapts a frozen base. */
    record Adapter(MethodType type) implements TrainedMethod {
        /**
         * The method with some settings.
         *
         * @param settings fields of adapter_config.json
         * @throws UsageException if the method has no such field, or a value cannot be
         */
        AdapterMethod with(Map<String, ? extends JsonNode> settings) {
            try {
                return type.fresh(Path.of("--method " + type.name()), settings);
            } catch (FormatException e) {
                throw new UsageException(String.valueOf(e.getMessage()));
            }
        }

        @Override
        public String toString() {
            return type.name();
        }
    }

    /** A model whose layers share weights. */
    record Stacks() implements TrainedMethod {
        @Override
        public String toString() {
            return "lors";
        }
    }

    /** All parameters of a model. */
    record Full() implements TrainedMethod {
        @Override
        public String toString() {
            return "full";
        }
    }

    /** Whether it trains all of a model, and no adapter beside a frozen one. */
    default boolean isWhole() {
        return !(this instanceof Adapter);
    }

    /** The method in a sentence. */
    default String title() {
        return switch (this) {
            case Adapter(MethodType type) -> type.name();
            case Stacks _ -> "LORS";
            case Full _ -> "training all of a model";
        };
    }

    /** The names that help lists. */
    final class Names implements Iterable<String> {
        @Override
        public Iterator<String> iterator() {
            return names().iterator();
        }
    }

    private static List<String> names() {
        return Stream.concat(Methods.ALL.stream().map(MethodType::name), Stream.of("lors", "full"))
                .toList();
    }

    /** Reads the option's value, in any case. */
    final class Converter implements ITypeConverter<TrainedMethod> {
        @Override
        public TrainedMethod convert(String value) {
            String name = value.toLowerCase(Locale.ROOT);
            return switch (name) {
                case "lors" -> new Stacks();
                case "full" -> new Full();
                default ->
                    new Adapter(Methods.named(name)
                            .orElseThrow(() -> new TypeConversionException(
                                    "expected one of " + String.join(", ", names()) + ", found \"" + value + "\"")));
            };
        }
    }
}
