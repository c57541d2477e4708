package dev.adapt.cli.predict;

import dev.adapt.formats.adapter.PromptFormat;
import java.util.Arrays;
import java.util.stream.Collectors;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads the name of a layout of prompts. */
final class PromptFormats implements ITypeConverter<PromptFormat> {
    @Override
    public PromptFormat convert(String name) {
        return PromptFormat.named(name)
                .orElseThrow(() -> new TypeConversionException("expected "
                        + Arrays.stream(PromptFormat.values())
                                .map(PromptFormat::key)
                                .collect(Collectors.joining(" or "))
                        + " but was '" + name + "'"));
    }
}
